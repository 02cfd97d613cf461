// The kernels on masks, for tests.
#include "prune_adapters/csrc/cuda/host/harness.hpp"
#include "prune_adapters/csrc/cuda/kernels.hpp"

using namespace prune_adapters;
using host::guarded;

// `n` runs; values and bits are arrays of addresses.
PRUNE_ADAPTERS_EXPORT const char* run_clear(char* const* values, const std::uint8_t* const* bits, const Index* counts,
                                            const Index* log_sizes, Index n) {
    return guarded([&] {
        std::vector<Run> runs;
        for (Index i = 0; i < n; ++i) runs.push_back({values[i], bits[i], counts[i], static_cast<int>(log_sizes[i])});
        cuda::clear_runs(runs, nullptr);
    });
}
PRUNE_ADAPTERS_EXPORT const char* run_clear_strided(char* values, const std::uint8_t* bits, Index count, int log_size,
                                                    Index dim, const Index* sizes, const Index* strides) {
    return guarded([&] {
        if (!cuda::clear_strided({values, bits, count, log_size}, dim, sizes, strides, nullptr))
            throw std::runtime_error("too many dimensions");
    });
}
PRUNE_ADAPTERS_EXPORT const char* run_pack(const std::uint8_t* flags, Index count, std::uint8_t* bits) {
    return guarded([&] { cuda::pack(flags, count, bits, nullptr); });
}
PRUNE_ADAPTERS_EXPORT const char* run_unpack(const std::uint8_t* bits, Index count, std::uint8_t* flags) {
    return guarded([&] { cuda::unpack(bits, count, flags, nullptr); });
}
