// Vectors of floats or doubles in the compiler's own notation: one source for every instruction set. Lanes<T, bytes>
// has 16 bytes for any processor, 32 for AVX2, 64 for AVX-512.
//
// A tile holds a few rows of a matrix feature by feature: tile[feature][row], n vectors of rows a feature, so that
// kernels work on n * count rows of the batch at once. `pack` and `unpack` transpose between the two in registers; rows
// of a matrix may hold numbers of 16 bits, a tile holds floats.
//
// Everything has internal linkage: code compiled for one instruction set must never be linked in for another. Compile
// with -ffp-contract=fast, and -mfma where the processor has it: a * b + c is then one operation.
#pragma once

#include <algorithm>
#include <cstring>
#include <utility>

#include "../bfloat16.hpp"
#include "netgraph/native/bits.hpp"

// Arrays of vectors stay in registers only where all is inlined and every loop over them is unrolled.
#define PRUNE_ADAPTERS_INLINE inline __attribute__((always_inline))
#define PRUNE_ADAPTERS_UNROLL _Pragma("GCC unroll 16")

namespace prune_adapters {
namespace {

using netgraph::Index;

template <class T, int bytes>
struct Lanes {
    typedef T Vector __attribute__((vector_size(bytes)));
    using Element = T;
    static constexpr int size = bytes;
    static constexpr int count = bytes / static_cast<int>(sizeof(T));

    static Vector fill(T value) { return value - Vector{}; }  // compilers know that v - 0 is v, also for v = -0
    static Vector load(const T* at) {
        Vector value;
        std::memcpy(&value, at, bytes);
        return value;
    }
    static void store(T* at, Vector value) { std::memcpy(at, &value, bytes); }

    // The first n elements, 0 <= n <= count; the others are 0, and what lies there is not touched.
    static Vector load_first(const T* at, Index n) {
        if (n >= count) return load(at);
        Vector value{};
        for (Index k = 0; k < n; ++k) value[k] = at[k];
        return value;
    }
    static void store_first(T* at, Vector value, Index n) {
        if (n >= count) return store(at, value);
        for (Index k = 0; k < n; ++k) at[k] = value[k];
    }
};

// Numbers of a matrix as those that are computed with, and back, a vector at a time.
template <class L>
typename L::Vector load_wide(const typename L::Element* at) {
    return L::load(at);
}
template <class L>
void store_narrow(typename L::Element* at, typename L::Vector value) {
    L::store(at, value);
}

template <class L>
struct Halves {
    typedef std::uint16_t Vector __attribute__((vector_size(L::size / 2)));
    typedef std::uint32_t Bits __attribute__((vector_size(L::size)));
};

template <class L>
typename L::Vector load_wide(const Bfloat16* at) {
    typename Halves<L>::Vector halves;
    std::memcpy(&halves, at, sizeof halves);
    return reinterpret_cast<typename L::Vector>(__builtin_convertvector(halves, typename Halves<L>::Bits) << 16);
}
template <class L>
void store_narrow(Bfloat16* at, typename L::Vector value) {
    using Bits = typename Halves<L>::Bits;
    const Bits bits = reinterpret_cast<Bits>(value), rounded = bits + 0x7fff + (bits >> 16 & 1);
    const Bits result = value == value ? rounded : bits | 0x400000;
    const auto halves = __builtin_convertvector(result >> 16, typename Halves<L>::Vector);
    std::memcpy(at, &halves, sizeof halves);
}

template <class L, class Row>
void widen(const Row* from, Index count, typename L::Element* to) {
    Index done = 0;
    for (; done + L::count <= count; done += L::count) L::store(to + done, load_wide<L>(from + done));
    for (; done < count; ++done) to[done] = widened(from[done]);
}
template <class L, class Row>
void narrow(const typename L::Element* from, Index count, Row* to) {
    Index done = 0;
    for (; done + L::count <= count; done += L::count) store_narrow<L>(to + done, L::load(from + done));
    for (; done < count; ++done) set(to + done, from[done]);
}

// Pattern::from(k) is the place in a, or `count` places later in b, that element k comes from.
template <class Pattern, class Vector, std::size_t... k>
Vector shuffled(Vector a, Vector b, std::index_sequence<k...>) {
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define PRUNE_ADAPTERS_SHUFFLEVECTOR
#endif
#endif
#ifdef PRUNE_ADAPTERS_SHUFFLEVECTOR
    return __builtin_shufflevector(a, b, Pattern::from(k)...);
#else  // g++ before 12
    using Place = std::conditional_t<sizeof(a[0]) == 4, std::int32_t, std::int64_t>;
    typedef Place Places __attribute__((vector_size(sizeof(Vector))));
    return __builtin_shuffle(a, b, Places{static_cast<Place>(Pattern::from(k))...});
#endif
}

// a0 b0 a1 b1 ... from the lower (upper: second) halves of each 16 bytes, which hold `own` elements.
template <int count, int own, bool upper>
struct Unpack {
    static constexpr int from(int k) { return k / own * own + k % own / 2 + (upper ? own / 2 : 0) + k % 2 * count; }
};

// Every other 16 bytes of a, then of b, from the first (odd: second) on. Elements are doubles, two in 16 bytes.
template <int count, bool odd>
struct Alternate {
    static constexpr int from(int k) {
        const int place = 2 * (k / 2) + odd;  // in units of 16 bytes, through a and b
        return place * 2 + k % 2;
    }
};

template <class L>
struct Shuffles {
    using Vector = typename L::Vector;
    using Pairs = typename Lanes<double, L::size>::Vector;
    static constexpr int n = L::count, own = 16 / static_cast<int>(sizeof(typename L::Element)), n_pairs = L::size / 8;

    template <bool upper>
    static Vector unpack(Vector a, Vector b) {
        return shuffled<Unpack<n, own, upper>>(a, b, std::make_index_sequence<n>());
    }
    template <bool upper>
    static Vector unpack_pairs(Vector a, Vector b) {
        return in_pairs<Unpack<n_pairs, 2, upper>>(a, b);
    }
    template <bool odd>
    static Vector alternate(Vector a, Vector b) {
        return in_pairs<Alternate<n_pairs, odd>>(a, b);
    }

private:
    template <class Pattern>
    static Vector in_pairs(Vector a, Vector b) {
        const auto places = std::make_index_sequence<n_pairs>();
        return reinterpret_cast<Vector>(
            shuffled<Pattern>(reinterpret_cast<Pairs>(a), reinterpret_cast<Pairs>(b), places));
    }
};

// Within each 16 bytes: `own` rows become `own` columns.
template <class L>
PRUNE_ADAPTERS_INLINE void transpose_within(typename L::Vector* rows) {
    using S = Shuffles<L>;
    if constexpr (S::own == 2) {
        const auto a = rows[0], b = rows[1];
        rows[0] = S::template unpack<false>(a, b);
        rows[1] = S::template unpack<true>(a, b);
    } else {
        const auto a = S::template unpack<false>(rows[0], rows[1]), b = S::template unpack<true>(rows[0], rows[1]);
        const auto c = S::template unpack<false>(rows[2], rows[3]), d = S::template unpack<true>(rows[2], rows[3]);
        rows[0] = S::template unpack_pairs<false>(a, c);
        rows[1] = S::template unpack_pairs<true>(a, c);
        rows[2] = S::template unpack_pairs<false>(b, d);
        rows[3] = S::template unpack_pairs<true>(b, d);
    }
}

// `count` rows of `count` elements become columns, in place.
template <class L>
PRUNE_ADAPTERS_INLINE void transpose(typename L::Vector* rows) {
    using S = Shuffles<L>;
    constexpr int own = S::own, groups = L::size / 16;
    PRUNE_ADAPTERS_UNROLL
    for (int g = 0; g < groups; ++g) transpose_within<L>(rows + g * own);
    PRUNE_ADAPTERS_UNROLL
    for (int j = 0; j < own; ++j) {
        if constexpr (groups == 2) {
            const auto a = rows[j], b = rows[own + j];
            rows[j] = S::template alternate<false>(a, b);
            rows[own + j] = S::template alternate<true>(a, b);
        }
        if constexpr (groups == 4) {
            const auto a = rows[j], b = rows[own + j], c = rows[2 * own + j], d = rows[3 * own + j];
            const auto even_ab = S::template alternate<false>(a, b), odd_ab = S::template alternate<true>(a, b);
            const auto even_cd = S::template alternate<false>(c, d), odd_cd = S::template alternate<true>(c, d);
            rows[j] = S::template alternate<false>(even_ab, even_cd);
            rows[own + j] = S::template alternate<false>(odd_ab, odd_cd);
            rows[2 * own + j] = S::template alternate<true>(even_ab, even_cd);
            rows[3 * own + j] = S::template alternate<true>(odd_ab, odd_cd);
        }
    }
}

// The sums of the elements of `count` vectors, which are used up: element k is the sum of rows[k].
template <class L>
PRUNE_ADAPTERS_INLINE typename L::Vector sums(typename L::Vector* rows) {
    using S = Shuffles<L>;
    constexpr int count = L::count;
    if constexpr (S::own == 4) {
        PRUNE_ADAPTERS_UNROLL
        for (int i = 0; i < count / 2; ++i)
            rows[i] = S::template unpack<false>(rows[2 * i], rows[2 * i + 1]) +
                      S::template unpack<true>(rows[2 * i], rows[2 * i + 1]);
    }
    constexpr int groups = L::size / 16;
    PRUNE_ADAPTERS_UNROLL
    for (int i = 0; i < groups; ++i)
        rows[i] = S::template unpack_pairs<false>(rows[2 * i], rows[2 * i + 1]) +
                  S::template unpack_pairs<true>(rows[2 * i], rows[2 * i + 1]);
    if constexpr (groups == 4) {
        rows[0] = S::template alternate<false>(rows[0], rows[1]) + S::template alternate<true>(rows[0], rows[1]);
        rows[1] = S::template alternate<false>(rows[2], rows[3]) + S::template alternate<true>(rows[2], rows[3]);
    }
    if constexpr (groups > 1)
        rows[0] = S::template alternate<false>(rows[0], rows[1]) + S::template alternate<true>(rows[0], rows[1]);
    return rows[0];
}

// The sum of the elements of one vector, pairwise.
template <class L>
typename L::Element sum(typename L::Vector value) {
    typename L::Element parts[L::count];
    L::store(parts, value);
    for (int left = L::count / 2; left > 0; left /= 2)
        for (int k = 0; k < left; ++k) parts[k] += parts[k + left];
    return parts[0];
}

// `count` features of n_rows rows into one vector column of a tile, whose rows are `width` elements long.
template <class L, class Row>
PRUNE_ADAPTERS_INLINE void pack_block(const Row* rows, Index stride, Index n_rows, typename L::Element* tile,
                                      Index width) {
    typename L::Vector block[L::count];
    PRUNE_ADAPTERS_UNROLL
    for (int b = 0; b < L::count; ++b) block[b] = b < n_rows ? load_wide<L>(rows + b * stride) : typename L::Vector{};
    transpose<L>(block);
    PRUNE_ADAPTERS_UNROLL
    for (int k = 0; k < L::count; ++k) L::store(tile + k * width, block[k]);
}

template <class L, class Row>
PRUNE_ADAPTERS_INLINE void unpack_block(const typename L::Element* tile, Index width, Row* rows, Index stride,
                                        Index n_rows) {
    typename L::Vector block[L::count];
    PRUNE_ADAPTERS_UNROLL
    for (int k = 0; k < L::count; ++k) block[k] = L::load(tile + k * width);
    transpose<L>(block);
    PRUNE_ADAPTERS_UNROLL
    for (int b = 0; b < L::count; ++b)
        if (b < n_rows) store_narrow<L>(rows + b * stride, block[b]);
}

// tile[f][b] = rows[b * stride + f] for b < n_rows <= n * count, and 0 for the other rows of the tile.
template <class L, int n, class Row = typename L::Element>
void pack(const Row* rows, Index stride, Index n_rows, Index features, typename L::Element* tile) {
    constexpr int count = L::count, width = n * count;
    const Index whole = features / count * count;
    for (int v = 0; v < n; ++v)  // outside: rows that lie a power of 2 apart push each other out of the cache
        for (Index f = 0; f < whole; f += count)
            pack_block<L>(rows + v * count * stride + f, stride, n_rows - v * count, tile + f * width + v * count,
                          width);
    for (Index f = whole; f < features; ++f)
        for (Index b = 0; b < width; ++b) tile[f * width + b] = b < n_rows ? widened(rows[b * stride + f]) : 0;
}

// rows[b * stride + f] = tile[f][b] for b < n_rows <= n * count; the other rows of the tile are ignored.
template <class L, int n, class Row = typename L::Element>
void unpack(const typename L::Element* tile, Index features, Row* rows, Index stride, Index n_rows) {
    constexpr int count = L::count, width = n * count;
    Index f = 0;
    for (; f + count <= features; f += count)
        for (int v = 0; v * count < n_rows; ++v)
            unpack_block<L>(tile + f * width + v * count, width, rows + v * count * stride + f, stride,
                            n_rows - v * count);
    for (; f < features; ++f)
        for (Index b = 0; b < n_rows; ++b) set(rows + b * stride + f, tile[f * width + b]);
}

}  // namespace
}  // namespace prune_adapters
