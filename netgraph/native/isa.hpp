// The choice of a table of kernels: the fastest that this processor runs, or the one that is asked for by name.
#pragma once

#include <atomic>
#include <cstring>

namespace netgraph {

// Whether this processor runs code that was compiled for an instruction set; see CMakeLists.txt for the flags.
inline bool processor_runs(const char* isa) {
#ifdef NETGRAPH_X86
    __builtin_cpu_init();
    if (!std::strcmp(isa, "avx2"))
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("fma");
    if (!std::strcmp(isa, "avx512"))
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vpopcntdq");
#endif
    return !std::strcmp(isa, "generic");
}

// `fastest_first` ends with the generic table, which every processor runs. A table has a `name`.
template <class Table, std::size_t n>
class Choice {
public:
    explicit constexpr Choice(const Table* const (&fastest_first)[n]) : tables(fastest_first) {}

    const Table& get() {
        const Table* table = chosen.load(std::memory_order_relaxed);
        if (!table) chosen.store(table = fastest(), std::memory_order_relaxed);
        return *table;
    }

    // False if this build or this processor has no table of that name.
    bool use(const char* name) {
        for (const Table* table : tables) {
            if (std::strcmp(table->name, name) || !processor_runs(name)) continue;
            chosen.store(table, std::memory_order_relaxed);
            return true;
        }
        return false;
    }

private:
    const Table* fastest() const {
        for (const Table* table : tables)
            if (processor_runs(table->name)) return table;
        return tables[n - 1];
    }

    const Table* const (&tables)[n];
    std::atomic<const Table*> chosen{nullptr};
};

}  // namespace netgraph
