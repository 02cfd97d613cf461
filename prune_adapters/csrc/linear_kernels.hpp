// The kernels of the linear operators, one table of them for each instruction set.
#pragma once

#include <type_traits>

#include "bfloat16.hpp"
#include "netgraph/native/bits.hpp"

namespace prune_adapters {

using netgraph::Index;

// Rows of the batch that a kernel works on at once lie side by side in tiles, feature by feature (cpu/vectors.hpp). A
// row of a tile has 64, 128 or 256 bytes.
constexpr int n_widths = 3;
constexpr int narrowest = 64;

// So few rows of a batch are multiplied as they are.
constexpr Index max_vector_rows = 4;

// A sparse matrix whose columns are cut into panels: in panel p the elements of row r have places ptr[p][r] up to
// ptr[p][r + 1], and an element k lies in column panel * p + idx[k]. What Python hands over: trust it after `check`.
struct Panels {
    const std::int32_t* ptr;  // (n_panels, rows + 1)
    const std::uint16_t* idx;
    Index n_panels, rows, columns, panel, count;

    const std::int32_t* rows_of(Index p) const { return ptr + p * (rows + 1); }
    Index columns_of(Index p) const { return columns - p * panel < panel ? columns - p * panel : panel; }
};

// A matrix of blocks of `height` x `width` elements: those of block row r have places ptr[r] up to ptr[r + 1], and
// block k lies in block column idx[k].
struct Blocks {
    const std::int32_t* ptr;  // (rows + 1)
    const std::int32_t* idx;
    Index rows, columns, height, width, count;
};

template <class T>
struct TileKernels {
    int lanes, widest;  // of the widths, the last one that its registers can hold

    // The first n_rows rows of the tile from `rows`, the others 0; and back. `stride` is from one row to the next.
    void (*pack[n_widths])(const T* rows, Index stride, Index n_rows, Index features, T* tile);
    void (*unpack[n_widths])(const T* tile, Index features, T* rows, Index stride, Index n_rows);

    // The sum of each of `lanes` runs of `lanes` elements, in a tree of additions.
    void (*sums)(const T* runs, T* sums);
};

template <class T>
struct PanelKernels {
    // y[b][r] = bias[r] + sum of values[k] * x[column of k][b] over the elements of row r, for rows from begin to end.
    // y_tile has room for all of them. bias may be null.
    void (*multiply[n_widths])(const Panels& matrix, const T* values, const T* bias, const T* x_tile, Index begin,
                               Index end, T* y_tile, T* y, Index stride, Index n_rows);

    // The same for up to max_vector_rows rows of x as they are.
    void (*multiply_rows)(const Panels& matrix, const T* values, const T* bias, const T* x, Index n_rows, Index begin,
                          Index end, T* y);

    // found[k] = sum over b of g[row of k][b] * x[column of k][b] in rows from begin to end; added if `add`.
    void (*dots[n_widths])(const Panels& matrix, const T* g_tile, const T* x_tile, Index begin, Index end, bool add,
                           T* found);
};

constexpr int n_block_widths = 3;

// Block rows whose results are unpacked together: unpacking is fast for many rows of a matrix.
inline Index block_rows_together(Index height) { return height >= 64 ? 1 : (63 + height) / height; }

// For matrices of Row; what lies in tiles and groups is for these kernels only.
template <class Row>
struct BlockKernels {
    using T = SumOf<Row>;

    // For tiles of 64, 128 and 192 bytes.
    void (*pack[n_block_widths])(const Row* rows, Index stride, Index n_rows, Index features, T* tile);

    // y[b][r] = bias[r] + sum of block[r][c] * x[c][b] over the blocks of each block row from begin to end. The values
    // of block k are at places[k], or at k if places is null; `transposed` blocks lie there column by column. y_tile
    // has room for the rows of block_rows_together(matrix.height) block rows, `room` for the values of any block row;
    // null where T is Row.
    void (*multiply[n_block_widths])(const Blocks& matrix, const std::int32_t* places, bool transposed,
                                     const Row* values, const Row* bias, const T* x_tile, Index begin, Index end,
                                     T* room, T* y_tile, Row* y, Index stride, Index n_rows);

    // A group of `features` features, row by row, each as wide as `padded` says.
    Index (*padded)(Index features);
    void (*pack_group)(const Row* rows, Index stride, Index n_rows, Index features, T* group);

    // found[k][r][c] = sum of g[b][r] * x[b][c] for each block k, with g and x in groups; added if `add`.
    void (*outer)(const Blocks& matrix, const T* g_groups, const T* x_groups, Index n_rows, Index begin, Index end,
                  bool add, T* found);
};

template <class T>
struct LinearKernelsOf {
    TileKernels<T> tiles;
    PanelKernels<T> panels;
    BlockKernels<T> blocks;
};

struct LinearKernels {
    const char* name;

    // Whether the elements of rows from begin to end lie within the matrix and have places below `count`.
    bool (*check)(const Panels& matrix, Index begin, Index end);

    LinearKernelsOf<float> f32;
    LinearKernelsOf<double> f64;
    BlockKernels<Bfloat16> bf16_blocks;  // see bfloat16_blocks
    void (*widen)(const Bfloat16* from, Index count, float* to);
    void (*narrow)(const float* from, Index count, Bfloat16* to);

    template <class T>
    const LinearKernelsOf<T>& of() const {
        if constexpr (sizeof(T) == sizeof(float))
            return f32;
        else
            return f64;
    }

};

extern const LinearKernels linear_generic;
#ifdef NETGRAPH_X86
extern const LinearKernels linear_avx2;
extern const LinearKernels linear_avx512;
extern const BlockKernels<Bfloat16> blocks_in_pairs;  // where the compiler knows -mavx512bf16
#endif

// The fastest table that this processor runs, or the one that `use_linear_kernels` has chosen.
const LinearKernels& linear_kernels();
bool use_linear_kernels(const char* name);

// The kernels for sums of so many terms of each block: those in use, or for an even number those that multiply pairs of
// numbers, if `uses_pairs` says so. Where nothing was chosen it does on AMD's processors, whose instruction for pairs
// does twice as much as that for floats in the same time (oneDNN on Zen 5); on Intel's it does half as much (Sapphire
// Rapids: four times as long for two products).
const BlockKernels<Bfloat16>& bfloat16_blocks(Index terms);
bool uses_pairs();
enum class Pairs { by_processor, no, yes };
bool use_pairs(Pairs wanted);  // false if this build or this processor has none, or has other kernels in use

template <class Row>
const BlockKernels<Row>& block_kernels(Index terms) {
    if constexpr (std::is_same_v<Row, Bfloat16>)
        return bfloat16_blocks(terms);
    else
        return linear_kernels().of<Row>().blocks;
}

}  // namespace prune_adapters
