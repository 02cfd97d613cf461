// The kernels of sparse products, for tests.
#include "prune_adapters/csrc/cuda/host/harness.hpp"
#include "prune_adapters/csrc/cuda/kernels.hpp"

using namespace prune_adapters;
using host::guarded;

namespace {

struct Sizes {
    Index number, rows, columns, panel, n_panels, n_values, batch;
};

cuda::Csr matrix_of(const Sizes& sizes, const std::int32_t* ptr, const std::int16_t* idx, const std::int32_t* perm) {
    const auto as_int = [](Index size) { return static_cast<int>(size); };
    return {ptr, idx, perm, as_int(sizes.rows), as_int(sizes.columns), as_int(sizes.panel), as_int(sizes.n_panels),
            sizes.n_values};
}

}  // namespace

PRUNE_ADAPTERS_EXPORT const char* run_multiply(const Sizes* sizes, const std::int32_t* ptr, const std::int16_t* idx,
                                               const std::int32_t* perm, const void* values, const void* x,
                                               const void* bias, void* y) {
    return guarded([&] {
        cuda::csr_multiply(static_cast<cuda::Number>(sizes->number), matrix_of(*sizes, ptr, idx, perm), values, x, bias, y,
                           sizes->batch, nullptr);
    });
}
PRUNE_ADAPTERS_EXPORT const char* run_products(const Sizes* sizes, const std::int32_t* ptr, const std::int16_t* idx,
                                               const void* grad, const void* x, void* found) {
    return guarded([&] {
        cuda::csr_products(static_cast<cuda::Number>(sizes->number), matrix_of(*sizes, ptr, idx, nullptr), grad, x, found,
                           sizes->batch, nullptr);
    });
}
PRUNE_ADAPTERS_EXPORT const char* run_transpose(int size, const void* from, void* to, Index rows, Index columns) {
    return guarded([&] { cuda::transpose(size, from, to, rows, columns, nullptr); });
}
PRUNE_ADAPTERS_EXPORT const char* run_sum_rows(Index number, const void* from, void* sums, Index rows, Index columns) {
    return guarded([&] { cuda::sum_rows(static_cast<cuda::Number>(number), from, sums, rows, columns, nullptr); });
}
