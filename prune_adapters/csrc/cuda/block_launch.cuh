// Which kernel and which tile serve a block_linear.
#pragma once

#include <stdexcept>

#include "block_plain.cuh"

namespace prune_adapters::cuda {

// What the choice depends on.
struct Device {
    int processors;
    long long shared_bytes;  // that a block may have
};

template <class T>
constexpr bool on_tensor_cores = sizeof(T) == 2;

inline bool is_aligned(const void* at) { return reinterpret_cast<std::uintptr_t>(at) % 16 == 0; }

template <class Own, class Given>
void launch_tile(void (*kernel)(Given), const Given& given, Index blocks, int splits, std::size_t bytes,
                 cudaStream_t stream) {
    if (blocks > 0x7fffffff) throw std::runtime_error("prune_adapters: a product with more tiles than a GPU counts");
    const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(splits));
    if (blocks) launch(kernel, grid, dim3(Own::threads), bytes, stream, given);
}

// Tiles of the result, by number: the widest that a block fills, since a wide tile reads the inputs less often. But tile
// 0 is 6 % slower than tile 1 on an H200, whose shared memory it takes alone.
constexpr int n_row_tiles = 6;
inline int row_tile_for(int width) {
    const auto fills = [width](int columns) { return blocks_for(width, columns) * columns * 3 <= 4u * width; };
    return fills(128) ? 1 : fills(64) ? 3 : fills(32) ? 4 : 5;
}

template <class T, class Own>
void launch_rows_tile(const Rows<T>& given, bool transposed, cudaStream_t stream) {
    const Index across = Index{given.tables.groups} * blocks_for(given.width, Own::columns);
    launch_tile<Own>(transposed ? block_rows<T, Own, true> : block_rows<T, Own, false>, given,
                     across * blocks_for(given.batch, Own::rows), 1, Own::bytes, stream);
}

template <class T, class Own>
void launch_rows_plain(const Rows<T>& given, bool transposed, cudaStream_t stream) {
    const Index across = Index{given.tables.groups} * blocks_for(given.width, Own::size);
    launch_tile<Own>(transposed ? block_rows_plain<T, Own, true> : block_rows_plain<T, Own, false>, given,
                     across * blocks_for(given.batch, Own::size), 1, 0, stream);
}

// A tile below 0: the one that suits.
template <class T>
void launch_rows(const Rows<T>& given, bool transposed, int tile, cudaStream_t stream) {
    if constexpr (on_tensor_cores<T>) {
        const bool aligned = is_aligned(given.x) && is_aligned(given.values) && is_aligned(given.y);
        if (aligned && given.width % chunk == 0 && given.depth % chunk == 0) {
            switch (tile < 0 ? row_tile_for(given.width) : tile) {
                case 0: return launch_rows_tile<T, Tile<128, 256, 64, 64, 3>>(given, transposed, stream);
                case 1: return launch_rows_tile<T, Tile<128, 128, 64, 64, 3>>(given, transposed, stream);
                case 2: return launch_rows_tile<T, Tile<256, 64, 64, 32, 2>>(given, transposed, stream);
                case 3: return launch_rows_tile<T, Tile<128, 64, 64, 32, 3>>(given, transposed, stream);
                case 4: return launch_rows_tile<T, Tile<128, 32, 32, 32, 3>>(given, transposed, stream);
                default: return launch_rows_tile<T, Tile<128, 16, 32, 16, 3>>(given, transposed, stream);
            }
        }
    }
    if (sizeof(T) == 4 && given.width > 64)
        launch_rows_plain<T, PlainTile<8>>(given, transposed, stream);
    else
        launch_rows_plain<T, PlainTile<4>>(given, transposed, stream);
}

// Tiles of the gradient of the values: rows by the outputs of a block, columns by the inputs of a group on average.
struct SampledTile {
    int rows, columns;
};
template <class T>
SampledTile sampled_tile_for(const BlockTables& tables, int width, int depth) {
    if (!on_tensor_cores<T> || width % chunk || depth % chunk) return {64, 64};
    const long long across = static_cast<long long>(tables.blocks) * depth / (tables.groups ? tables.groups : 1);
    return {width > 64 ? 128 : width > 32 ? 64 : width > 16 ? 32 : 16, across > 64 ? 128 : 64};
}

inline Index sampled_blocks(const BlockTables& tables, int width, int depth, const SampledTile& tile) {
    return first_tile(tables.groups, tables.blocks, depth, tile.columns) * blocks_for(width, tile.rows);
}

// In how many parts the batch is cut: two blocks of threads for each processor, none with less than 512 rows.
template <class T>
int splits_for(const BlockTables& tables, int width, int depth, long long batch, const Device& device) {
    constexpr long long least_rows = 512, most = 16;
    const long long tiles = sampled_blocks(tables, width, depth, sampled_tile_for<T>(tables, width, depth));
    const long long wanted = tiles ? 2 * device.processors / tiles : 1, possible = batch / least_rows;
    const long long splits = wanted < possible ? wanted : possible;
    return static_cast<int>(splits < 1 ? 1 : splits < most ? splits : most);
}

template <class T, int rows, int columns, int warp_rows, int warp_columns>
void launch_sampled_tile(const Sampled<T>& given, cudaStream_t stream) {
    using Own = Tile<rows, columns, warp_rows, warp_columns, 3>;
    const Index blocks = sampled_blocks(given.tables, given.width, given.depth, {rows, columns});
    launch_tile<Own>(block_sampled<T, Own>, given, blocks, given.splits, Own::bytes, stream);
}

template <class T>
bool launch_sampled_on_tensor_cores(const Sampled<T>& given, cudaStream_t stream) {
    const bool aligned = is_aligned(given.grad) && is_aligned(given.x) && is_aligned(given.values);
    if (!aligned || given.width % chunk || given.depth % chunk) return false;
    const SampledTile tile = sampled_tile_for<T>(given.tables, given.width, given.depth);
    switch (tile.rows + (tile.columns == 128)) {
        case 129: launch_sampled_tile<T, 128, 128, 64, 64>(given, stream); break;
        case 128: launch_sampled_tile<T, 128, 64, 64, 32>(given, stream); break;
        case 65: launch_sampled_tile<T, 64, 128, 32, 64>(given, stream); break;
        case 64: launch_sampled_tile<T, 64, 64, 32, 32>(given, stream); break;
        case 33: launch_sampled_tile<T, 32, 128, 32, 32>(given, stream); break;
        case 32: launch_sampled_tile<T, 32, 64, 32, 16>(given, stream); break;
        case 17: launch_sampled_tile<T, 16, 128, 16, 32>(given, stream); break;
        default: launch_sampled_tile<T, 16, 64, 16, 16>(given, stream); break;
    }
    return true;
}

// `partial` has room for all splits if there are several; given.splits comes from `splits_for`.
template <class T>
void launch_sampled(const Sampled<T>& given, Sum<T>* partial, cudaStream_t stream) {
    bool done = false;
    if constexpr (on_tensor_cores<T>) {
        Sampled<T> own = given;
        own.partial = partial;
        done = launch_sampled_on_tensor_cores(own, stream);
    }
    if (!done) {
        using Own = PlainTile<4>;
        const PlainSampled<T> all{given, partial};
        const Index blocks = sampled_blocks(given.tables, given.width, given.depth, {Own::size, Own::size});
        launch_tile<Own>(block_sampled_plain<T, Own>, all, blocks, given.splits, 0, stream);
    }
    const long long size = static_cast<long long>(given.tables.blocks) * given.width * given.depth;
    if (given.splits > 1 && size)
        launch(add_splits<T>, dim3(blocks_for(size, 1024)), dim3(256), 0, stream,
               static_cast<const Sum<T>*>(partial), given.splits, size, given.values);
}

}  // namespace prune_adapters::cuda
