// Cuts the work of panels.hpp into tiles of the batch and ranges of rows for the threads of torch.
#include "panels.hpp"

#include <algorithm>
#include <atomic>
#include <vector>

#include "scratch.hpp"
#include "split.hpp"

namespace prune_adapters {
namespace {

constexpr Index rows_apart = 16;  // threads write different lines of the cache
constexpr Index packed_bytes = Index{2} << 20;  // of tiles that threads share

template <class T>
Index elements_of(int width) {
    return (narrowest << width) / static_cast<Index>(sizeof(T));
}

// Where few columns of a row are there, wide rows of x come from the second cache; where panels are dense they stay in
// the first, and a value that is loaded once serves twice as many rows.
template <class T>
int widest_for(const Panels& matrix) {
    const int widest = linear_kernels().of<T>().tiles.widest;
    return matrix.n_panels > 1 ? widest : std::min(widest, 1);
}

bool check(const Panels& matrix) {
    std::atomic<bool> good{true};
    in_parallel(matrix.rows, grain_of(ceil_div(matrix.count, 16 * matrix.rows + 1)), [&](Index begin, Index end) {
        if (!linear_kernels().check(matrix, begin, end)) good = false;
    });
    return good;
}

// Whether every place from 0 to count belongs to an element.
bool is_whole(const Panels& matrix) {
    std::int32_t next = 0;
    for (Index p = 0; p < matrix.n_panels; ++p) {
        if (matrix.rows_of(p)[0] != next) return false;
        next = matrix.rows_of(p)[matrix.rows];
    }
    return next == matrix.count;
}

template <class T>
void fill_rows(const T* bias, Index columns, Index batch, T* y) {
    for (Index b = 0; b < batch; ++b)
        for (Index c = 0; c < columns; ++c) y[b * columns + c] = bias ? bias[c] : 0;
}

// Few rows of x, too few for a tile.
template <class T>
bool multiply_few(const Panels& matrix, const T* values, const T* bias, const T* x, Index batch, T* y) {
    std::atomic<bool> good{true};
    const Index n_parts = ceil_div(matrix.rows, rows_apart);
    in_parallel(n_parts, grain_of(matrix.count * batch / n_parts), [&](Index first, Index last) {
        const auto& kernels = linear_kernels();
        for (Index part = first; part < last; ++part) {
            const Index begin = part * rows_apart, end = std::min(matrix.rows, begin + rows_apart);
            if (!kernels.check(matrix, begin, end)) {
                good = false;
                return;
            }
            for (Index b = 0; b < batch; b += max_vector_rows)
                kernels.of<T>().panels.multiply_rows(matrix, values, bias, x + b * matrix.columns,
                                                     std::min(max_vector_rows, batch - b), begin, end,
                                                     y + b * matrix.rows);
        }
    });
    return good;
}

// Every tile is cut into ranges of rows of the matrix if there are fewer tiles than threads; a thread packs the tiles
// of which it has a range.
template <class T>
void multiply_tiles(const Panels& matrix, const T* values, const T* bias, const T* x,
                    const std::vector<BatchTile>& tiles, T* y) {
    const auto n_tiles = static_cast<Index>(tiles.size());
    const Ranges ranges(n_tiles, matrix.rows, rows_apart);
    const Index widest = elements_of<T>(tiles[0].width);
    const Index work = (matrix.count / ranges.n + matrix.columns) * widest;
    in_parallel(n_tiles * ranges.n, grain_of(work), [&](Index first, Index last) {
        const LinearKernelsOf<T>& kernels = linear_kernels().of<T>();
        T* packed = scratch<T, 0>(matrix.columns * widest);
        T* kept = scratch<T, 1>(ranges.size * widest);
        for (Index part = first; part < last; ++part) {
            const BatchTile& tile = tiles[part / ranges.n];
            if (part == first || part % ranges.n == 0)
                kernels.tiles.pack[tile.width](x + tile.first * matrix.columns, matrix.columns, tile.n_rows,
                                               matrix.columns, packed);
            const Index begin = std::min(matrix.rows, part % ranges.n * ranges.size);
            const Index end = std::min(matrix.rows, begin + ranges.size);
            kernels.panels.multiply[tile.width](matrix, values, bias, packed, begin, end, kept,
                                                y + tile.first * matrix.rows, matrix.rows, tile.n_rows);
        }
    });
}

// Tiles of a batch, feature by feature, each as large as the first; in parts of some features.
template <class T>
struct PackedTiles {
    static constexpr Index part = 64;
    const T* rows;
    Index columns;
    T* packed;

    Index parts() const { return ceil_div(columns, part); }
    T* of(Index tile, Index widest) const { return packed + tile * columns * widest; }
    void pack(const BatchTile& tile, T* to, Index k) const {
        const Index begin = k * part, end = std::min(columns, begin + part);
        linear_kernels().of<T>().tiles.pack[tile.width](rows + tile.first * columns + begin, columns, tile.n_rows,
                                                        end - begin, to + begin * elements_of<T>(tile.width));
    }
};

// Some tiles of both at once: every call of in_parallel waits for the last thread.
template <class T>
void pack_tiles(const BatchTile* tiles, Index n_tiles, const PackedTiles<T>& a, const PackedTiles<T>& b,
                Index widest) {
    const Index parts = a.parts() + b.parts();
    in_parallel(n_tiles * parts, grain_of(a.part * widest), [&](Index begin, Index end) {
        for (Index k = begin; k < end; ++k) {
            const Index tile = k / parts, own = k % parts;
            if (own < a.parts()) a.pack(tiles[tile], a.of(tile, widest), own);
            else b.pack(tiles[tile], b.of(tile, widest), own - a.parts());
        }
    });
}

}  // namespace

template <class T>
bool multiply(const Panels& matrix, const T* values, const T* bias, const T* x, Index batch, T* y) {
    if (batch == 0 || matrix.rows == 0) return true;
    if (matrix.n_panels == 0) return fill_rows(bias, matrix.rows, batch, y), true;
    if (batch <= max_vector_rows) return multiply_few(matrix, values, bias, x, batch, y);
    if (!check(matrix)) return false;
    multiply_tiles(matrix, values, bias, x, tiles_of(batch, widest_for<T>(matrix), elements_of<T>), y);
    return true;
}

template <class T>
bool dots(const Panels& matrix, const T* g, const T* x, Index batch, T* found) {
    if (!is_whole(matrix) || !check(matrix)) return false;
    if (batch == 0) std::fill(found, found + matrix.count, T{0});
    if (batch == 0) return true;
    const std::vector<BatchTile> tiles = tiles_of(batch, linear_kernels().of<T>().tiles.widest, elements_of<T>);
    const Index widest = elements_of<T>(tiles[0].width), a_tile = (matrix.rows + matrix.columns) * widest;
    const auto all = static_cast<Index>(tiles.size());
    const Index fitting = packed_bytes / std::max<Index>(1, a_tile * static_cast<Index>(sizeof(T)));
    const Index together = n_threads() > 1 ? std::clamp<Index>(fitting, 1, all) : 1;
    const PackedTiles<T> own_g{g, matrix.rows, scratch<T, 2>(together * matrix.rows * widest)};
    const PackedTiles<T> own_x{x, matrix.columns, scratch<T, 3>(together * matrix.columns * widest)};
    for (Index first = 0; first < all; first += together) {
        const Index now = std::min(together, all - first);
        pack_tiles(tiles.data() + first, now, own_g, own_x, widest);
        const Index work = matrix.count / std::max<Index>(1, matrix.rows) * widest * now;
        in_parallel(matrix.rows, grain_of(work), [&](Index begin, Index end) {
            for (Index k = 0; k < now; ++k)
                linear_kernels().of<T>().panels.dots[tiles[first + k].width](
                    matrix, own_g.of(k, widest), own_x.of(k, widest), begin, end, first + k > 0, found);
        });
    }
    return true;
}

template <class T>
bool permute(const T* values, const std::int32_t* places, Index count, T* permuted) {
    std::atomic<bool> good{true};
    in_parallel(count, worth_a_thread, [&](Index begin, Index end) {
        std::uint32_t highest = 0;
        for (Index k = begin; k < end; ++k) highest = std::max(highest, static_cast<std::uint32_t>(places[k]));
        if (begin < end && highest >= count) {
            good = false;
            return;
        }
        for (Index k = begin; k < end; ++k) permuted[k] = values[places[k]];
    });
    return good;
}

template <class T>
void sum_rows(const T* rows, Index batch, Index columns, T* sums) {
    in_parallel(columns, grain_of(batch), [&](Index begin, Index end) {
        std::fill(sums + begin, sums + end, T{0});
        for (Index b = 0; b < batch; ++b)
            for (Index c = begin; c < end; ++c) sums[c] += rows[b * columns + c];
    });
}

void sum_rows(const Bfloat16* rows, Index batch, Index columns, Bfloat16* sums) {
    in_parallel(columns, grain_of(batch), [&](Index begin, Index end) {
        float *wide = scratch<float, 7>(2 * (end - begin)), *row = wide + (end - begin);
        std::fill(wide, row, 0.0f);
        for (Index b = 0; b < batch; ++b) {
            linear_kernels().widen(rows + b * columns + begin, end - begin, row);
            for (Index c = 0; c < end - begin; ++c) wide[c] += row[c];
        }
        linear_kernels().narrow(wide, end - begin, sums + begin);
    });
}

#define PRUNE_ADAPTERS_PANELS(T)                                                                    \
    template bool multiply(const Panels&, const T*, const T*, const T*, Index, T*);                 \
    template bool dots(const Panels&, const T*, const T*, Index, T*);                               \
    template bool permute(const T*, const std::int32_t*, Index, T*);                                \
    template void sum_rows(const T*, Index, Index, T*);
PRUNE_ADAPTERS_PANELS(float)
PRUNE_ADAPTERS_PANELS(double)

}  // namespace prune_adapters
