// The kernels on blocks on this processor, for tests.
#include "prune_adapters/csrc/cuda/block_launch.cuh"
#include "prune_adapters/csrc/cuda/host/harness.hpp"

using namespace prune_adapters;
using namespace prune_adapters::cuda;

namespace {


BlockTables tables_of(const int* ptr, const int* idx, const int* perm, const std::int64_t* sizes) {
    return {ptr, idx, perm, static_cast<int>(sizes[0]), static_cast<int>(sizes[1]), static_cast<int>(sizes[2])};
}

}  // namespace

// dtype: a Number. sizes: groups, other groups, blocks, batch, width, depth.
PRUNE_ADAPTERS_EXPORT const char* run_rows(std::int64_t dtype, const void* x, const void* values, const void* bias, void* y,
                                           const int* ptr, const int* idx, const int* perm, const std::int64_t* sizes,
                                           std::int64_t transposed, std::int64_t tile) {
    return host::guarded([&] {
        with_type(static_cast<Number>(dtype), [&](auto zero) {
            using T = decltype(zero);
            const Rows<T> given{static_cast<const T*>(x), static_cast<const T*>(values), static_cast<const T*>(bias),
                                static_cast<T*>(y), tables_of(ptr, idx, perm, sizes), sizes[3],
                                static_cast<int>(sizes[4]), static_cast<int>(sizes[5])};
            launch_rows(given, transposed != 0, static_cast<int>(tile), nullptr);
        });
    });
}

PRUNE_ADAPTERS_EXPORT const char* run_sampled(std::int64_t dtype, const void* grad, const void* x, void* values,
                                              void* partial, const int* ptr, const int* idx, const std::int64_t* sizes,
                                              std::int64_t splits) {
    return host::guarded([&] {
        with_type(static_cast<Number>(dtype), [&](auto zero) {
            using T = decltype(zero);
            const std::int64_t a_split = (sizes[3] + splits - 1) / splits;
            const Sampled<T> given{static_cast<const T*>(grad), static_cast<const T*>(x), static_cast<T*>(values), nullptr,
                                   tables_of(ptr, idx, nullptr, sizes), sizes[3], a_split,
                                   static_cast<int>(sizes[4]), static_cast<int>(sizes[5]), static_cast<int>(splits)};
            launch_sampled(given, static_cast<Sum<T>*>(partial), nullptr);
        });
    });
}

PRUNE_ADAPTERS_EXPORT std::int64_t splits(const std::int64_t* sizes) {
    return splits_for<__half>(tables_of(nullptr, nullptr, nullptr, sizes), static_cast<int>(sizes[4]),
                              static_cast<int>(sizes[5]), sizes[3], {132, 227 * 1024});
}
