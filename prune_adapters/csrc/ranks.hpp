// Elements compared with bounds: the loops of a selection, one table of them for each instruction set.
//
// A key is an integer that grows with the element: its magnitude, read as an integer, with the sign of the element. So
// 0.0 and -0.0 have the same key, and a NaN has one beyond infinity. A selection by magnitude takes the sign away.
#pragma once

#include <cstring>
#include <limits>

#include "netgraph/native/kernels.hpp"

namespace prune_adapters {

using netgraph::Element;
using netgraph::Index;
using netgraph::Word;
using Key = std::int64_t;

constexpr int n_floats = 4;           // the first of netgraph::Element
constexpr Index rank_block = 4096;    // the most elements that the loops take at once

struct Tally {
    Index above = 0, inside = 0, nan = 0;

    Tally& operator+=(const Tally& other) {
        above += other.above, inside += other.inside, nan += other.nan;
        return *this;
    }
};

struct RankKernels {
    const char* name;

    // [Element][magnitude]: how many keys are above `high`, how many from `low` to `high`, how many are NaN. `flags`
    // has a byte of 0 or 1 for each element that says whether it counts; null: all do.
    Tally (*tally[n_floats][2])(const void* values, const std::uint8_t* flags, Index count, Key low, Key high);

    // flags[k] = 1 if the key of element k is from `low` to `high`, else 0.
    void (*mark[n_floats][2])(const void* values, Index count, Key low, Key high, std::uint8_t* flags);
};

extern const RankKernels ranks_generic;
#ifdef NETGRAPH_X86
extern const RankKernels ranks_avx2;
extern const RankKernels ranks_avx512;
#endif

// The fastest table that this processor runs, or the one that `use_ranks` has chosen.
const RankKernels& ranks();
bool use_ranks(const char* name);

// What a format of floats looks like.
struct FloatFormat {
    int log_size;            // of an element, in bytes
    Key infinity;            // its key, the largest that is not NaN
};
const FloatFormat& format_of(Element element);

// The key of an element whose bits are read as an integer of its size.
template <class Integer>
inline Key key_of(Integer bits, bool magnitude) {
    const Key lowest = std::numeric_limits<Integer>::min(), size = bits & ~lowest;
    return bits < 0 && !magnitude ? -size : size;
}

// The key of element `number`; elements are 1 << log_size bytes long.
inline Key key_at(int log_size, bool magnitude, const char* values, Index number) {
    const auto read = [=](auto bits) {
        std::memcpy(&bits, values + number * static_cast<Index>(sizeof bits), sizeof bits);
        return key_of(bits, magnitude);
    };
    if (log_size == 1) return read(std::int16_t{});
    return log_size == 2 ? read(std::int32_t{}) : read(std::int64_t{});
}

// The bits of the float that has a key.
std::uint64_t bits_of(Element element, Key key);

}  // namespace prune_adapters
