// Bit strings in 64-bit words, least significant bit first: ranges, unaligned copies, one bit a unit to one bit a tap.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace netgraph {

using Word = std::uint64_t;
using Index = std::int64_t;

constexpr Word all_ones = ~Word{0};

inline Index words_for(Index bits) { return (bits + 63) / 64; }

// The lowest `count` bits set, 0 <= count <= 64.
inline Word low_bits(Index count) { return count >= 64 ? all_ones : (Word{1} << count) - 1; }

inline bool get_bit(const Word* words, Index bit) { return words[bit / 64] >> (bit % 64) & 1; }

inline void set_bit(Word* words, Index bit) { words[bit / 64] |= Word{1} << (bit % 64); }

// The `count` <= 64 bits from position `bit` on; touches no word that holds none of them.
inline Word read_bits(const Word* words, Index bit, Index count) {
    if (count == 0) return 0;
    const Index shift = bit % 64;
    Word value = words[bit / 64] >> shift;
    if (shift + count > 64) value |= words[bit / 64 + 1] << (64 - shift);
    return value & low_bits(count);
}

// OR `value`, which has no bit at or above `count` > 0, into position `bit`.
inline void or_word(Word* words, Index bit, Index count, Word value) {
    const Index shift = bit % 64;
    words[bit / 64] |= value << shift;
    if (shift + count > 64) words[bit / 64 + 1] |= value >> (64 - shift);
}

inline void or_bits(Word* to, Index to_bit, const Word* from, Index from_bit, Index count) {
    for (Index done = 0; done < count; done += 64) {
        const Index now = std::min<Index>(64, count - done);
        or_word(to, to_bit + done, now, read_bits(from, from_bit + done, now));
    }
}

// Copy `count` bits to the start of `to`; the rest of its last word becomes 0.
inline void copy_bits(Word* to, const Word* from, Index from_bit, Index count) {
    for (Index done = 0; done < count; done += 64)
        to[done / 64] = read_bits(from, from_bit + done, std::min<Index>(64, count - done));
}

inline bool equal_bits(const Word* a, const Word* b, Index bit, Index count) {
    Word difference = 0;
    for (Index done = 0; done < count; done += 64) {
        const Index now = std::min<Index>(64, count - done);
        difference |= read_bits(a, bit + done, now) ^ read_bits(b, bit + done, now);
    }
    return difference == 0;
}

inline bool all_bits(const Word* words, Index bit, Index count) {
    Word missing = 0;
    for (Index done = 0; done < count; done += 64) {
        const Index now = std::min<Index>(64, count - done);
        missing |= read_bits(words, bit + done, now) ^ low_bits(now);
    }
    return missing == 0;
}

// Call f(first word, mask of the range in it) for each word that the range touches.
template <class F>
inline void for_range(Index bit, Index count, F f) {
    for (Index end = bit + count; bit < end;) {
        const Index now = std::min(64 - bit % 64, end - bit);
        f(bit / 64, low_bits(now) << (bit % 64));
        bit += now;
    }
}

inline void set_range(Word* words, Index bit, Index count) {
    for_range(bit, count, [words](Index w, Word mask) { words[w] |= mask; });
}

inline void clear_range(Word* words, Index bit, Index count) {
    for_range(bit, count, [words](Index w, Word mask) { words[w] &= ~mask; });
}

inline bool any_range(const Word* words, Index bit, Index count) {
    Word any = 0;
    for_range(bit, count, [words, &any](Index w, Word mask) { any |= words[w] & mask; });
    return any != 0;
}

template <class F>
inline void for_bits(const Word* words, Index n_words, F f) {
    for (Index w = 0; w < n_words; ++w)
        for (Word rest = words[w]; rest; rest &= rest - 1) f(w * 64 + __builtin_ctzll(rest));
}

// Each of the `count` bits repeated `taps` times. Starts from whichever value most bits have and writes the others.
inline void expand(const Word* from, Index count, Index taps, Word* to) {
    if (taps == 1) return copy_bits(to, from, 0, count);
    Index ones = 0;
    for (Index w = 0; w < words_for(count); ++w) ones += __builtin_popcountll(from[w]);
    const bool mostly = 2 * ones > count;
    std::fill(to, to + words_for(count * taps), Word{0});
    if (mostly) set_range(to, 0, count * taps);
    if (mostly && ones == count) return;
    for (Index w = 0; w < words_for(count); ++w) {
        Word rest = mostly ? ~from[w] & low_bits(count - w * 64) : from[w];
        for (; rest; rest &= rest - 1) {
            const Index unit = w * 64 + __builtin_ctzll(rest);
            mostly ? clear_range(to, unit * taps, taps) : set_range(to, unit * taps, taps);
        }
    }
}

// One bit for each run of `taps` bits: whether any of them is set.
inline void fold(const Word* from, Index count, Index taps, Word* to) {
    if (taps == 1) return copy_bits(to, from, 0, count);
    std::fill(to, to + words_for(count), Word{0});
    for (Index unit = 0; unit < count; ++unit) {
        const bool any = taps <= 64 ? read_bits(from, unit * taps, taps) != 0 : any_range(from, unit * taps, taps);
        to[unit / 64] |= Word{any} << (unit % 64);
    }
}

}  // namespace netgraph
