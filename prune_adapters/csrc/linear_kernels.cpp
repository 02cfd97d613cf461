// Which table of kernels of the linear operators is in use.
#include "linear_kernels.hpp"

#include "netgraph/native/isa.hpp"

namespace prune_adapters {
namespace {

const LinearKernels* const fastest_first[] = {
#ifdef NETGRAPH_X86
    &linear_avx512, &linear_avx2,
#endif
    &linear_generic};

netgraph::Choice choice(fastest_first);

std::atomic<Pairs> pairs{Pairs::by_processor};

bool has_pairs() {
#ifdef NETGRAPH_AVX512BF16
    __builtin_cpu_init();
    return &linear_kernels() == &linear_avx512 && __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
}

bool is_fast_with_pairs() {
#ifdef NETGRAPH_AVX512BF16
    return __builtin_cpu_is("amd");
#else
    return false;
#endif
}

}  // namespace

const LinearKernels& linear_kernels() { return choice.get(); }

bool use_linear_kernels(const char* name) { return choice.use(name); }

bool uses_pairs() {
    const Pairs chosen = pairs.load(std::memory_order_relaxed);
    return has_pairs() && (chosen == Pairs::yes || (chosen == Pairs::by_processor && is_fast_with_pairs()));
}

bool use_pairs(Pairs wanted) {
    if (wanted == Pairs::yes && !has_pairs()) return false;
    pairs.store(wanted, std::memory_order_relaxed);
    return true;
}

const BlockKernels<Bfloat16>& bfloat16_blocks(Index terms) {
#ifdef NETGRAPH_AVX512BF16
    if (terms % 2 == 0 && uses_pairs()) return blocks_in_pairs;
#else
    (void)terms;
#endif
    return linear_kernels().bf16_blocks;
}

}  // namespace prune_adapters
