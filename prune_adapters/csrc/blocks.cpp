// Cuts the work of blocks.hpp into tiles of the batch and ranges of block rows for the threads of torch.
#include "blocks.hpp"

#include "scratch.hpp"
#include "split.hpp"

namespace prune_adapters {
namespace {

constexpr Index rows_together = 512;  // of the batch: groups of features should fit into the second cache

template <class T>
Index elements_of(int width) {
    return (width + 1) * narrowest / static_cast<Index>(sizeof(T));
}

bool is_good(const Blocks& matrix, const std::int32_t* places) {
    if (matrix.ptr[0] != 0 || matrix.ptr[matrix.rows] != matrix.count) return false;
    bool good = true;
    for (Index r = 0; r < matrix.rows; ++r) good &= matrix.ptr[r] <= matrix.ptr[r + 1];
    for (Index k = 0; k < matrix.count; ++k) good &= matrix.idx[k] >= 0 && matrix.idx[k] < matrix.columns;
    for (Index k = 0; places && k < matrix.count; ++k) good &= places[k] >= 0 && places[k] < matrix.count;
    return good;
}

Index work_of(const Blocks& matrix) { return matrix.count * matrix.height * matrix.width; }

// The most values that a block row has.
Index largest_row(const Blocks& matrix) {
    Index most = 0;
    for (Index r = 0; r < matrix.rows; ++r) most = std::max<Index>(most, matrix.ptr[r + 1] - matrix.ptr[r]);
    return most * matrix.height * matrix.width;
}

// Some rows of a batch, in groups of features.
template <class Row>
struct Groups {
    const Row* rows;
    Index count, features;
    SumOf<Row>* packed;

    void pack(const BlockKernels<Row>& kernels, Index group, Index n_rows) const {
        kernels.pack_group(rows + group * features, count * features, n_rows, features,
                           packed + group * kernels.padded(features) * n_rows);
    }
};

template <class Row>
void pack_groups(const BlockKernels<Row>& kernels, const Groups<Row>& a, const Groups<Row>& b, Index n_rows) {
    const Index work = std::max(kernels.padded(a.features), kernels.padded(b.features)) * n_rows;
    in_parallel(a.count + b.count, grain_of(work), [&](Index begin, Index end) {
        for (Index k = begin; k < end; ++k)
            k < a.count ? a.pack(kernels, k, n_rows) : b.pack(kernels, k - a.count, n_rows);
    });
}

template <class Row>
void add_outer(const Blocks& matrix, const Row* g, const Row* x, Index batch, SumOf<Row>* found) {
    using T = SumOf<Row>;
    const BlockKernels<Row>& kernels = block_kernels<Row>(2);  // rows of the batch, with zeros beside the last one
    const Index n_rows = matrix.rows * matrix.height, n_columns = matrix.columns * matrix.width;
    const Index most = std::min(batch, rows_together);
    T* g_groups = scratch<T, 2>(matrix.rows * kernels.padded(matrix.height) * most);
    T* x_groups = scratch<T, 3>(matrix.columns * kernels.padded(matrix.width) * most);
    for (Index first = 0; first < batch; first += most) {
        const Index now = std::min(most, batch - first);
        pack_groups<Row>(kernels, {g + first * n_rows, matrix.rows, matrix.height, g_groups},
                         {x + first * n_columns, matrix.columns, matrix.width, x_groups}, now);
        in_parallel(matrix.rows, grain_of(work_of(matrix) / matrix.rows * now), [&](Index begin, Index end) {
            kernels.outer(matrix, g_groups, x_groups, now, begin, end, first > 0, found);
        });
    }
}

}  // namespace

template <class Row>
bool multiply(const Blocks& matrix, const std::int32_t* places, const Row* values, const Row* bias, const Row* x,
              Index batch, Row* y) {
    using T = SumOf<Row>;
    if (!is_good(matrix, places)) return false;
    if (batch == 0 || matrix.rows == 0 || matrix.height == 0) return true;
    const int width = fair_width(batch, elements_of<T>(0), n_block_widths - 1);
    const std::vector<BatchTile> tiles = tiles_of(batch, width, elements_of<T>);
    const Index together = block_rows_together(matrix.height), widest = elements_of<T>(tiles[0].width);
    const Index n_columns = matrix.columns * matrix.width, n_rows = matrix.rows * matrix.height;
    const Ranges ranges(static_cast<Index>(tiles.size()), matrix.rows, together);
    const Index work = (work_of(matrix) / ranges.n + n_columns) * widest;
    const Index wide = std::is_same_v<T, Row> ? 0 : largest_row(matrix);
    in_parallel(static_cast<Index>(tiles.size()) * ranges.n, grain_of(work), [&](Index first, Index last) {
        const BlockKernels<Row>& kernels = block_kernels<Row>(matrix.width);
        T* packed = scratch<T, 0>(n_columns * widest);
        T* buffer = scratch<T, 1>(together * matrix.height * widest);
        T* room = scratch<T, 5>(wide);
        for (Index part = first; part < last; ++part) {
            const BatchTile& tile = tiles[part / ranges.n];
            if (part == first || part % ranges.n == 0)
                kernels.pack[tile.width](x + tile.first * n_columns, n_columns, tile.n_rows, n_columns, packed);
            const Index begin = std::min(matrix.rows, part % ranges.n * ranges.size);
            const Index end = std::min(matrix.rows, begin + ranges.size);
            kernels.multiply[tile.width](matrix, places, places != nullptr, values, bias, packed, begin, end, room,
                                         buffer, y + tile.first * n_rows, n_rows, tile.n_rows);
        }
    });
    return true;
}

template <class Row>
bool outer(const Blocks& matrix, const Row* g, const Row* x, Index batch, Row* found) {
    if (!is_good(matrix, nullptr)) return false;
    if (batch == 0) std::fill(found, found + work_of(matrix), Row{});
    if (batch == 0 || matrix.count == 0) return true;
    if constexpr (std::is_same_v<Row, Bfloat16>) {
        const Index size = matrix.height * matrix.width;
        float* sums = scratch<float, 6>(work_of(matrix));
        add_outer(matrix, g, x, batch, sums);
        in_parallel(matrix.count, grain_of(size), [&](Index begin, Index end) {
            linear_kernels().narrow(sums + begin * size, (end - begin) * size, found + begin * size);
        });
    } else {
        add_outer(matrix, g, x, batch, found);
    }
    return true;
}

#define PRUNE_ADAPTERS_BLOCKS(Row)                                                                           \
    template bool multiply(const Blocks&, const std::int32_t*, const Row*, const Row*, const Row*, Index, Row*); \
    template bool outer(const Blocks&, const Row*, const Row*, Index, Row*);
PRUNE_ADAPTERS_BLOCKS(float)
PRUNE_ADAPTERS_BLOCKS(double)
PRUNE_ADAPTERS_BLOCKS(Bfloat16)

}  // namespace prune_adapters
