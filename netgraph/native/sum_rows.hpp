// Loops of sums.hpp that are the same for all instruction sets but faster with their flags. Everything has internal
// linkage, as in rows.hpp.
#pragma once

#include "sums.hpp"

namespace netgraph {
namespace {

Index kept(const Word* words, Index count) {
    Index found = 0;
    for (Index w = 0; w < count; ++w) found += __builtin_popcountll(words[w]);
    return found;
}

// Whether a word has another bit is hard to foretell, so `spare` places are written whatever it has.
Index list(const Word* words, Index width, std::int32_t* places) {
    std::int32_t* const first = places;
    for (Index w = 0; w < words_for(width); ++w) {
        Word rest = words[w];
        const int found = __builtin_popcountll(rest);
        const auto place = static_cast<std::int32_t>(64 * w);
        for (int i = 0; i < spare; ++i, rest &= rest - 1)
            places[i] = place + __builtin_ctzll(rest | Word{1} << 63);
        for (int i = spare; rest; ++i, rest &= rest - 1) places[i] = place + __builtin_ctzll(rest);
        places += found;
    }
    return places - first;
}

}  // namespace
}  // namespace netgraph
