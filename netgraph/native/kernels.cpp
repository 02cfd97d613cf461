// Which table of kernels this processor runs.
#include "kernels.hpp"

#include <atomic>
#include <cstring>

namespace netgraph {
namespace {

bool runs(const Kernels& table) {
#ifdef NETGRAPH_X86
    __builtin_cpu_init();
    if (&table == &kernels_avx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
    if (&table == &kernels_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vpopcntdq");
#endif
    return &table == &kernels_generic;
}

const Kernels* const fastest_first[] = {
#ifdef NETGRAPH_X86
    &kernels_avx512, &kernels_avx2,
#endif
    &kernels_generic};

const Kernels* fastest() {
    for (const Kernels* table : fastest_first)
        if (runs(*table)) return table;
    return &kernels_generic;
}

std::atomic<const Kernels*> chosen{nullptr};

}  // namespace

const Kernels& kernels() {
    const Kernels* table = chosen.load(std::memory_order_relaxed);
    if (!table) chosen.store(table = fastest(), std::memory_order_relaxed);
    return *table;
}

bool use_kernels(const char* name) {
    for (const Kernels* table : fastest_first) {
        if (std::strcmp(table->name, name) || !runs(*table)) continue;
        chosen.store(table, std::memory_order_relaxed);
        return true;
    }
    return false;
}

}  // namespace netgraph
