// How a batch is cut: tiles of images, strips of their rows.
#pragma once

#include "conv_terms.hpp"

namespace prune_adapters {

// Images that are worked on together: up to `lanes` of them side by side, or one, its columns side by side.
struct Tile {
    Index first, n_images;
    bool by_images;
};

// The cut depends on sizes only, not on the number of threads.
inline std::vector<Tile> tiles_of(Index batch, Index lanes, const Axis& columns) {
    std::vector<Tile> tiles;
    const Index vectors = (columns.out + lanes - 1) / lanes;
    Index first = 0;
    for (; batch - first >= lanes; first += lanes) tiles.push_back({first, lanes, true});
    const Index rest = batch - first;
    // Lanes in use, and the reads that columns take at odd places, once for each tap.
    if (rest * vectors * 5 >= columns.out * 3) {
        tiles.push_back({first, rest, true});
    } else {
        for (; first < batch; ++first) tiles.push_back({first, 1, false});
    }
    return tiles;
}

// Offsets into a strip.
struct Offsets {
    std::vector<std::int32_t> entries, taps;
};

template <class T>
Offsets offsets_of(const Terms<T>& terms, const Window& window, const Layout& layout, Index channels) {
    Offsets offsets{{}, {0}};
    std::vector<std::int32_t> taps, places;
    for (Index k = 0; k < window.taps(); ++k)
        taps.push_back(static_cast<std::int32_t>(
            layout.tap(window, k / window.columns.taps, k % window.columns.taps)));
    for (Index c = 0; c < channels; ++c) {
        const auto plane = static_cast<std::int32_t>(c * layout.plane);
        if (!terms.by_taps) places.push_back(plane);
        else for (const std::int32_t tap : taps) places.push_back(plane + tap);
    }
    offsets.entries.reserve(terms.entries.size());
    for (const std::int32_t entry : terms.entries) offsets.entries.push_back(places[entry]);
    if (!terms.by_taps) offsets.taps = taps;
    return offsets;
}

}  // namespace prune_adapters
