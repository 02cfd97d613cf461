// How work is cut into parts for the threads of torch.
#pragma once

#include <vector>

#include "linear_kernels.hpp"
#include "parallel.hpp"

namespace prune_adapters {

constexpr Index worth_a_thread = 1 << 16;  // multiplications

inline Index n_threads() {
    std::uint32_t found = 1;
    if (torch::api.num_threads) torch::check(torch::api.num_threads(&found), "num_threads");
    return found;
}

inline Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

// So many parts are worth a thread, if one is so much work.
inline Index grain_of(Index work) { return std::max<Index>(1, worth_a_thread / std::max<Index>(1, work)); }

// Rows of a batch that lie in one tile.
struct BatchTile {
    Index first, n_rows;
    int width;
};

// A batch in tiles that hold up to unit, 2 * unit, ... rows: all as wide as `widest` says but the last one.
template <class Size>
std::vector<BatchTile> tiles_of(Index batch, int widest, const Size& size_of) {
    std::vector<BatchTile> tiles;
    for (Index first = 0; first < batch;) {
        int width = 0;
        while (width < widest && size_of(width) < batch - first) ++width;
        const Index n_rows = std::min(size_of(width), batch - first);
        tiles.push_back({first, n_rows, width});
        first += n_rows;
    }
    return tiles;
}

// How wide tiles of up to unit, 2 * unit, ... rows of a batch are at most, so that threads have as many rows as each
// other. Where it would be one unit for each they are wide, since narrow ones are slow, and are cut by rows of the matrix.
inline int fair_width(Index batch, Index unit, int widest) {
    const Index units = ceil_div(batch, unit), own = ceil_div(units, n_threads());
    if (units < 2 * n_threads()) return widest;
    return static_cast<int>(ceil_div(own, ceil_div(own, widest + 1))) - 1;
}

// Ranges of `count` rows for each of n_tiles tiles, more than one where there are fewer tiles than threads. They begin
// at multiples of `apart`.
struct Ranges {
    Index n, size;

    Ranges(Index n_tiles, Index count, Index apart)
        : n(n_tiles >= n_threads() ? 1 : ceil_div(n_threads(), n_tiles)),
          size(ceil_div(ceil_div(count, n), apart) * apart) {}
};

}  // namespace prune_adapters
