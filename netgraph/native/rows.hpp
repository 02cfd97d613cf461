// Templates of the kernels. `Isa` brings a vector of `Isa::words` words and what can be done with it. Everything has
// internal linkage: code compiled for one instruction set must never be linked in for another.
#pragma once

#include <cstring>

#include "hop_rows.hpp"
#include "kernels.hpp"
#include "lift_rows.hpp"

namespace netgraph {
namespace {

// How the bits of a value tell zero and NaN: zero iff no bit of `magnitude` is set, NaN iff those bits exceed infinity.
template <Element>
struct Format;
template <>
struct Format<Element::float64> {
    using Bits = std::uint64_t;
    static constexpr Bits magnitude = 0x7fffffffffffffff, infinity = 0x7ff0000000000000;
};
template <>
struct Format<Element::float32> {
    using Bits = std::uint32_t;
    static constexpr Bits magnitude = 0x7fffffff, infinity = 0x7f800000;
};
template <>
struct Format<Element::float16> {
    using Bits = std::uint16_t;
    static constexpr Bits magnitude = 0x7fff, infinity = 0x7c00;
};
template <>
struct Format<Element::bfloat16> {
    using Bits = std::uint16_t;
    static constexpr Bits magnitude = 0x7fff, infinity = 0x7f80;
};
template <>
struct Format<Element::uint8> {
    using Bits = std::uint8_t;
    static constexpr Bits magnitude = 0xff, infinity = 0xff;
};

// Far enough ahead to cover the latency of memory, near enough to stay in the first cache.
constexpr Index prefetch_bytes = 2048;

inline void prefetch(const char* at, Index lines) {
    for (Index line = 0; line < lines; ++line) __builtin_prefetch(at + prefetch_bytes + 64 * line);
}

// Masks and sums are padded to whole vectors of any instruction set; rows are not.
template <class Isa>
bool row_hits(const Word* row, Index words, const Word* mask) {
    Index w = 0;
    for (; w + Isa::words <= words; w += Isa::words)
        if (Isa::any(Isa::both(Isa::load(row + w), Isa::load(mask + w)))) return true;
    return w < words && Isa::any(Isa::both(Isa::load(row + w, Isa::first(words - w)), Isa::load(mask + w)));
}

template <class Isa>
void hit_rows(const Word* bits, Index rows, Index words, const Word* mask, const Word* wanted, Word* hits) {
    for (Index block = 0; block < words_for(rows); ++block) {
        Word found = 0;
        for (Word rest = wanted[block]; rest; rest &= rest - 1) {
            const int row = __builtin_ctzll(rest);
            found |= Word{row_hits<Isa>(bits + (block * 64 + row) * words, words, mask)} << row;
        }
        hits[block] = found;
    }
}

// Columns of `N` vectors, of which the last may be cut: their OR and their masks stay in registers over up to 64 rows.
template <class Isa, int N>
void join_panel(const Word* bits, Index words, typename Isa::Lanes last, const Word* mask, Word wanted, Word* seen,
                typename Isa::Counter& count) {
    typename Isa::Vector joined[N], under[N];
    for (int i = 0; i < N; ++i) {
        joined[i] = Isa::load(seen + i * Isa::words);
        under[i] = Isa::load(mask + i * Isa::words);
    }
    for (; wanted; wanted &= wanted - 1) {
        const Word* row = bits + __builtin_ctzll(wanted) * words;
        for (int i = 0; i < N; ++i) {
            const Word* at = row + i * Isa::words;
            const auto value = i + 1 < N ? Isa::load(at) : Isa::load(at, last);
            joined[i] = Isa::either(joined[i], value);
            count.add(Isa::both(value, under[i]));
        }
    }
    for (int i = 0; i < N; ++i) Isa::store(seen + i * Isa::words, joined[i]);
}

template <class Isa, int N = 1>
void join_columns(int vectors, const Word* bits, Index words, typename Isa::Lanes last, const Word* mask, Word wanted,
                  Word* seen, typename Isa::Counter& count) {
    if (vectors == N) return join_panel<Isa, N>(bits, words, last, mask, wanted, seen, count);
    if constexpr (N < Isa::panel) join_columns<Isa, N + 1>(vectors, bits, words, last, mask, wanted, seen, count);
}

template <class Isa>
Index join_rows(const Word* bits, Index rows, Index words, const Word* mask, const Word* wanted, Word* seen) {
    constexpr Index panel_words = Isa::panel * Isa::words;
    typename Isa::Counter count;
    for (Index block = 0; block < words_for(rows); ++block) {
        if (!wanted[block]) continue;
        for (Index w = 0; w < words; w += panel_words) {
            const Index now = std::min(panel_words, words - w);
            const int vectors = static_cast<int>((now + Isa::words - 1) / Isa::words);
            join_columns<Isa>(vectors, bits + block * 64 * words + w, words,
                              Isa::first(now - (vectors - 1) * Isa::words), mask + w, wanted[block], seen + w, count);
        }
    }
    return count.total();
}

template <class Isa>
void restrict_rows(const Word* bits, Index rows, Index words, const Word* mask, const Word* wanted, Word* out) {
    for (Index r = 0; r < rows; ++r, bits += words, out += words) {
        const Word all = get_bit(wanted, r) ? all_ones : 0;
        for (Index w = 0; w < words; ++w) out[w] = bits[w] & mask[w] & all;
    }
}

template <class Isa, Element E>
bool pack_rows(const void* values, Index rows, Index width, const Word* mask, Word* bits, Word* hits) {
    using Value = typename Format<E>::Bits;
    const char* at = static_cast<const char*>(values);
    typename Isa::template Packer<E> packer;
    const Index whole = width / 64, rest = width % 64;
    for (Index r = 0; r < rows; ++r) {
        Word under = 0;
        for (Index w = 0; w < whole; ++w, at += 64 * sizeof(Value)) {
            prefetch(at, sizeof(Value));
            const Word word = packer.pack(at);
            *bits++ = word;
            under |= word & mask[w];
        }
        if (rest) {
            alignas(64) char padded[64 * sizeof(Value)] = {};
            std::memcpy(padded, at, rest * sizeof(Value));
            at += rest * sizeof(Value);
            const Word word = packer.pack(padded);
            *bits++ = word;
            under |= word & mask[whole];
        }
        if (r % 64 == 0) hits[r / 64] = 0;
        hits[r / 64] |= Word{under != 0} << (r % 64);
    }
    return !packer.saw_nan();
}

template <class Isa>
Word stream(const void* bytes, Index count) {
    const char* at = static_cast<const char*>(bytes);
    constexpr Index step = 4 * Isa::words * sizeof(Word);
    typename Isa::Vector seen[4] = {};
    Index done = 0;
    for (; done + step <= count; done += step) {
        prefetch(at + done, (step + 63) / 64);
        for (int i = 0; i < 4; ++i)
            seen[i] = Isa::either(seen[i], Isa::load(reinterpret_cast<const Word*>(at + done) + i * Isa::words));
    }
    Word lanes[4 * Isa::words], total = 0;
    for (int i = 0; i < 4; ++i) Isa::store(lanes + i * Isa::words, seen[i]);
    for (Word lane : lanes) total |= lane;
    for (; done < count; ++done) total |= static_cast<unsigned char>(at[done]);
    return total;
}

template <class Isa>
void bytes_to_bits(const std::uint8_t* bytes, Index count, Word* bits) {
    typename Isa::template Packer<Element::uint8> packer;
    for (; count >= 64; count -= 64, bytes += 64) *bits++ = packer.pack(reinterpret_cast<const char*>(bytes));
    char padded[64] = {};
    std::memcpy(padded, bytes, count);
    if (count) *bits = packer.pack(padded);
}

template <class Isa>
void bits_to_bytes(const Word* bits, Index count, std::uint8_t* bytes) {
    for (; count >= 64; count -= 64, bytes += 64) Isa::spread(*bits++, bytes);
    std::uint8_t padded[64];
    if (count) Isa::spread(*bits, padded);
    std::memcpy(bytes, padded, count);
}

// `Narrow` has vectors of at most 256 bits.
template <class Isa, class Narrow>
constexpr Kernels table_of(const char* name) {
    return {name,
            hit_rows<Isa>,
            join_rows<Isa>,
            restrict_rows<Isa>,
            {pack_rows<Isa, Element::float64>, pack_rows<Isa, Element::float32>, pack_rows<Isa, Element::float16>,
             pack_rows<Isa, Element::bfloat16>, pack_rows<Isa, Element::uint8>},
            stream<Isa>,
            bytes_to_bits<Isa>,
            bits_to_bytes<Isa>,
            hop_kernels_of<Isa, Narrow>()};
}

}  // namespace
}  // namespace netgraph
