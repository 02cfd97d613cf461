// Runs a kernel block by block on this processor: each thread is a fiber, barriers are where fibers give way.
//
// What a GPU leaves undefined is an error here: a barrier that part of a block or warp never reaches, threads that wait
// at different barriers, a shuffle from a lane that takes no part, memory beyond a shared array. What depends on timing
// is tried both ways: the tests run every kernel in four modes (`Mode`). One kernel at a time.
#pragma once

#include <array>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "errors.hpp"
#include "fibers.hpp"
#include "language.hpp"

namespace prune_adapters::host {

struct Mode {
    bool eager = false;    // asynchronous copies happen at once; otherwise as late as they may
    bool reverse = false;  // the last block, warp and lane runs first
};
inline Mode mode;

struct Copy {
    void* target;
    const void* source;
    int bytes, filled;  // `filled` from the source, zeros up to `bytes`
};

enum class State { ready, at_block_barrier, at_warp_barrier, done };

struct Thread {
    Fiber fiber;
    State state = State::ready;
    uint3 index{};
    unsigned lanes = 0;  // that its barrier waits for
    int line = 0;        // of its barrier
    alignas(16) std::array<char, 32> shown{};      // to the other lanes of the warp
    std::vector<std::vector<Copy>> copies;         // asynchronous ones under way: groups, the last one still open
};

class Block {
public:
    void run(dim3 size, std::size_t dynamic_bytes, std::function<void()> kernel);

    // For the intrinsics, called by a running thread.
    Thread& thread() { return threads[static_cast<std::size_t>(current)]; }
    int lane() const { return current % 32; }
    bool has(int lane) const { return current / 32 * 32 + lane < count; }  // in the warp of this thread
    void wait(State at, unsigned lanes, int line);
    template <class T>
    void show(const T& value) {
        static_assert(sizeof(T) <= sizeof(Thread::shown));
        std::memcpy(thread().shown.data(), &value, sizeof(T));
    }
    template <class T>
    T shown_by(int lane) const {
        if (!has(lane)) throw std::runtime_error("a lane is read that the block does not have");
        T value;
        std::memcpy(&value, threads[static_cast<std::size_t>(current / 32 * 32 + lane)].shown.data(), sizeof(T));
        return value;
    }

    // Memory of the block by the address of a variable that stands for it: all bits set at first (NaN, -1).
    void* shared(const void* key, std::size_t bytes);
    void* dynamic_shared() { return shared(this, dynamic_size); }

private:
    static constexpr std::size_t alignment = 128;

    static void thread_body();
    void run_warp(int first, int last);
    bool release_warp(int first, int last);
    bool release_block();
    void check_after() const;
    int in_order(int first, int last, int k) const { return mode.reverse ? last - 1 - k : first + k; }
    Thread& at(int number) { return threads[static_cast<std::size_t>(number)]; }

    std::vector<Thread> threads;
    int count = 0, current = 0;
    std::size_t dynamic_size = 0;
    std::function<void()> body;
    std::exception_ptr failure;
    std::map<const void*, std::vector<char>> memory;
};

inline Block block;

inline void Block::run(dim3 size, std::size_t dynamic_bytes, std::function<void()> kernel) {
    count = static_cast<int>(size.x * size.y * size.z);
    dynamic_size = dynamic_bytes;
    body = std::move(kernel);
    failure = nullptr;
    memory.clear();
    if (static_cast<int>(threads.size()) < count) threads.resize(static_cast<std::size_t>(count));
    for (int number = 0; number < count; ++number) {
        Thread& thread = at(number);
        const unsigned n = static_cast<unsigned>(number);
        thread.index = {n % size.x, n / size.x % size.y, n / size.x / size.y};
        thread.state = State::ready;
        thread.copies.assign(1, {});
        thread.fiber.start(thread_body);
    }
    const int warps = (count + 31) / 32;
    do {
        for (int k = 0; k < warps; ++k) {
            const int warp = in_order(0, warps, k);
            run_warp(32 * warp, std::min(count, 32 * warp + 32));
        }
    } while (release_block());
    check_after();
}

inline void Block::thread_body() {
    try {
        block.body();
    } catch (...) {
        block.failure = std::current_exception();
    }
    block.thread().state = State::done;
    block.thread().fiber.give_way();
}

inline void Block::wait(State at, unsigned lanes, int line) {
    thread().state = at;
    thread().lanes = lanes;
    thread().line = line;
    thread().fiber.give_way();
}

// Until each lane is done or waits for the whole block.
inline void Block::run_warp(int first, int last) {
    do {
        for (int k = 0; k < last - first; ++k) {
            current = in_order(first, last, k);
            if (thread().state != State::ready) continue;
            threadIdx = thread().index;
            thread().fiber.resume();
            if (failure) std::rethrow_exception(failure);
        }
    } while (release_warp(first, last));
}

inline bool Block::release_warp(int first, int last) {
    bool waits = false, released = false;
    for (int number = first; number < last; ++number) {
        const Thread& own = at(number);
        if (own.state != State::at_warp_barrier) continue;
        waits = true;
        if (!(own.lanes >> number % 32 & 1))
            throw std::runtime_error("line " + std::to_string(own.line) + ": a lane that its own mask leaves out");
        bool all = true;
        for (int other = first; other < last; ++other) {
            if (!(own.lanes >> other % 32 & 1)) continue;
            all = all && at(other).state == State::at_warp_barrier && at(other).lanes == own.lanes;
            if (all && at(other).line != own.line) throw std::runtime_error("lanes of a warp wait in different lines");
        }
        if (!all) continue;
        const unsigned lanes = own.lanes;
        for (int other = first; other < last; ++other)
            if (lanes >> other % 32 & 1) at(other).state = State::ready;
        released = true;
    }
    if (waits && !released) throw std::runtime_error("a warp barrier that some of its lanes never reach");
    return released;
}

inline bool Block::release_block() {
    int done = 0;
    for (int number = 0; number < count; ++number) {
        done += at(number).state == State::done;
        if (at(number).state != State::done && at(number).line != at(0).line && at(0).state != State::done)
            throw std::runtime_error("threads of a block wait at different barriers");
    }
    if (done == count) return false;
    if (done) throw std::runtime_error("__syncthreads is reached by part of the block only");
    for (int number = 0; number < count; ++number) at(number).state = State::ready;
    return true;
}

inline void* Block::shared(const void* key, std::size_t bytes) {
    std::vector<char>& bytes_of = memory[key];
    if (bytes_of.empty()) bytes_of.assign(bytes + 3 * alignment, static_cast<char>(0xff));
    const auto begin = (reinterpret_cast<std::uintptr_t>(bytes_of.data()) + 2 * alignment) & ~(alignment - 1);
    return reinterpret_cast<void*>(begin);
}

// Nobody has written before or after a shared array, or beyond the stack of a fiber.
inline void Block::check_after() const {
    for (const auto& [key, bytes] : memory) {
        const auto begin = (reinterpret_cast<std::uintptr_t>(bytes.data()) + 2 * alignment) & ~(alignment - 1);
        const std::size_t before = begin - reinterpret_cast<std::uintptr_t>(bytes.data());
        const std::size_t size = bytes.size() - 3 * alignment;
        for (std::size_t k = 0; k < bytes.size(); ++k)
            if ((k < before || k >= before + size) && bytes[k] != static_cast<char>(0xff))
                throw std::runtime_error("a write beyond a shared array");
    }
    for (int number = 0; number < count; ++number)
        if (threads[static_cast<std::size_t>(number)].fiber.overflowed())
            throw std::runtime_error("a thread needs more stack than a fiber has");
}

// Run a kernel over its grid; the stream is not looked at.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 size, std::size_t dynamic_bytes, cudaStream_t,
            Arguments... arguments) {
    constexpr std::size_t most_shared = 227 * 1024;
    const std::size_t blocks = std::size_t{grid.x} * grid.y * grid.z, threads = std::size_t{size.x} * size.y * size.z;
    if (!blocks || grid.y > 65535 || grid.z > 65535 || grid.x > 2147483647u || !threads || threads > 1024 ||
        dynamic_bytes > most_shared)
        throw std::runtime_error("a launch that no GPU accepts");
    if (refuse_launches) {
        refused = true;
        return;
    }
    gridDim = grid;
    blockDim = size;
    for (std::size_t k = 0; k < blocks; ++k) {
        const std::size_t number = mode.reverse ? blocks - 1 - k : k;
        blockIdx = {static_cast<unsigned>(number % grid.x), static_cast<unsigned>(number / grid.x % grid.y),
                    static_cast<unsigned>(number / grid.x / grid.y)};
        block.run(size, dynamic_bytes, [&] { kernel(arguments...); });
    }
}

}  // namespace prune_adapters::host
