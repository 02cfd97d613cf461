// Fibers: functions with a stack of their own, which give way only where they say so.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#if defined(__x86_64__) && defined(__linux__)
#define PRUNE_ADAPTERS_SWITCH
#else
#include <ucontext.h>
#endif

#ifdef PRUNE_ADAPTERS_SWITCH
// Keeps the registers that a function must keep on the stack, and goes on where the other stack was left.
extern "C" void prune_adapters_switch_stack(void** left, void* next);
asm(R"(
.text
.weak prune_adapters_switch_stack
.hidden prune_adapters_switch_stack
.type prune_adapters_switch_stack, @function
prune_adapters_switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
#endif

namespace prune_adapters::host {

class Fiber {
public:
    // From the beginning at the next `resume`. The body must not return; it ends by giving way for good.
    void start(void (*body)()) {
        if (!stack) stack.reset(new char[stack_size]);
        std::fill_n(stack.get(), guard, guard_byte);
        prepare(body);
    }

#ifdef PRUNE_ADAPTERS_SWITCH
    // Run it until it gives way.
    void resume() { prune_adapters_switch_stack(&caller, here); }
    void give_way() { prune_adapters_switch_stack(&here, caller); }
#else
    void resume() { swapcontext(&caller, &here); }
    void give_way() { swapcontext(&here, &caller); }
#endif

    bool overflowed() const {
        return !std::all_of(stack.get(), stack.get() + guard, [](char byte) { return byte == guard_byte; });
    }

private:
    static constexpr std::size_t stack_size = 64 * 1024, guard = 64;
    static constexpr char guard_byte = 0x5a;

#ifdef PRUNE_ADAPTERS_SWITCH
    // As if the body had just been called, with six registers to restore before it.
    void prepare(void (*body)()) {
        void** top = reinterpret_cast<void**>((reinterpret_cast<std::uintptr_t>(stack.get()) + stack_size) & ~15ULL);
        *--top = nullptr;
        *--top = reinterpret_cast<void*>(body);
        for (int k = 0; k < 6; ++k) *--top = nullptr;
        here = top;
    }

    void *here = nullptr, *caller = nullptr;
#else
    void prepare(void (*body)()) {
        getcontext(&here);
        here.uc_stack.ss_sp = stack.get();
        here.uc_stack.ss_size = stack_size;
        here.uc_link = nullptr;
        makecontext(&here, body, 0);
    }

    ucontext_t here, caller;
#endif
    std::unique_ptr<char[]> stack;
};

}  // namespace prune_adapters::host
