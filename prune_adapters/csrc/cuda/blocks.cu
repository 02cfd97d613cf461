// Products with blocks: the dtype, and the device that the choice of a tile depends on.
#include "blocks.hpp"

#include "block_types.cuh"

namespace prune_adapters::cuda {
namespace {

#ifdef __CUDACC__
Device current_device() {
    int number = 0, processors = 0, shared = 0;
    cudaGetDevice(&number);
    cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, number);
    cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, number);
    return {processors, shared};
}
#else
Device current_device() { return {4, 227 * 1024}; }
#endif

}  // namespace

void block_rows(Number number, const BlockTables& tables, BlockSize size, const void* x, const void* values,
                const void* bias, void* y, Index batch, bool transposed, int tile, Stream stream) {
    with_type(number, [&](auto zero) {
        using T = decltype(zero);
        const Rows<T> given{static_cast<const T*>(x), static_cast<const T*>(values), static_cast<const T*>(bias),
                            static_cast<T*>(y), tables, batch, size.width, size.depth};
        launch_rows(given, transposed, tile, static_cast<cudaStream_t>(stream));
    });
}

int block_splits(Number number, const BlockTables& tables, BlockSize size, Index batch) {
    int splits = 1;
    with_type(number, [&](auto zero) {
        splits = splits_for<decltype(zero)>(tables, size.width, size.depth, batch, current_device());
    });
    return splits;
}

void block_sampled(Number number, const BlockTables& tables, BlockSize size, const void* grad, const void* x,
                   void* values, void* partial, int splits, Index batch, Stream stream) {
    with_type(number, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = blocks_for(blocks_for(batch, splits), step_depth) * Index{step_depth};
        const Sampled<T> given{static_cast<const T*>(grad), static_cast<const T*>(x), static_cast<T*>(values), nullptr,
                               tables, batch, rows, size.width, size.depth, splits};
        launch_sampled(given, static_cast<Sum<T>*>(partial), static_cast<cudaStream_t>(stream));
    });
}

}  // namespace prune_adapters::cuda
