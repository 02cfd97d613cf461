// Rows under 32 bits lie without gaps: row r is the bits r * width and up. The masks of the groups follow each other
// likewise.
#pragma once

#include "plan.hpp"

namespace netgraph {

// Call f(row number, bits of the row, bits of its mask) for the wanted rows.
template <class F>
void for_narrow_rows(const Weighted& c, const Word* bits, const Word* mask, const Word* wanted, F f) {
    const Index width = c.width();
    if (width == 0) return;
    for_bits(wanted, words_for(c.rows), [&](Index row) {
        f(row, read_bits(bits, row * width, width), read_bits(mask, c.group_of(row) * width, width));
    });
}

inline void hit_narrow(const Weighted& c, const Word* bits, const Word* mask, const Word* wanted, Word* hits) {
    for_narrow_rows(c, bits, mask, wanted, [hits](Index row, Word value, Word under) {
        hits[row / 64] |= Word{(value & under) != 0} << (row % 64);
    });
}

inline Index join_narrow(const Weighted& c, const Word* bits, const Word* mask, const Word* wanted, Word* seen) {
    const Index width = c.width();
    Index count = 0;
    for_narrow_rows(c, bits, mask, wanted, [&](Index row, Word value, Word under) {
        or_word(seen, c.group_of(row) * width, width, value);
        count += __builtin_popcountll(value & under);
    });
    return count;
}

inline void restrict_narrow(const Weighted& c, const Word* bits, const Word* mask, const Word* wanted, Word* out) {
    const Index width = c.width();
    for_narrow_rows(c, bits, mask, wanted, [out, width](Index row, Word value, Word under) {
        or_word(out, row * width, width, value & under);
    });
}

}  // namespace netgraph
