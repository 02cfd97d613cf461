// The loops of sums.hpp as templates over a vector type. Everything has internal linkage, as in rows.hpp.
//
// `V` says how many doubles a vector has and what is done with them. Words of 64 elements are read in whole vectors, in
// which only kept elements count; the last one of a row, which may go beyond its end, is read bit by bit, and so are all
// where a vector is one double.
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

inline double size_of(double value, int power) { return power == 2 ? value * value : __builtin_fabs(value); }

// Calls vector(k, bits) for the elements from k on in whole words, single(k) for each kept one of the last.
template <class V, class Vector, class Single>
void each(const Word* words, Index width, Vector&& vector, Single&& single) {
    const Index whole = V::lanes > 1 ? width / 64 : 0;
    for (Index w = 0; w < whole; ++w) {
        const Word bits = words[w];
        for (int j = 0; j < 64 && bits; j += V::lanes) vector(64 * w + j, bits >> j);
    }
    for (Index w = whole; w < words_for(width); ++w)
        for (Word rest = words[w]; rest; rest &= rest - 1) single(64 * w + __builtin_ctzll(rest));
}

template <class V>
double count(const Word* words, Index width, const double* at) {
    auto sum = V::all(0);
    double last = 0;
    each<V>(
        words, width, [&](Index k, Word bits) { sum = V::add(sum, V::kept_only(bits, V::load(at + k))); },
        [&](Index k) { last += at[k]; });
    return last + V::sum_of(sum);
}

template <class V>
void scatter(const Word* words, Index width, double y, double* at) {
    const auto all = V::all(y);
    each<V>(
        words, width, [&](Index k, Word bits) { V::store(at + k, V::add(V::load(at + k), V::kept_only(bits, all))); },
        [&](Index k) { at[k] += y; });
}

template <class V, class T>
double dot(const Word* words, Index width, const void* values, int power, const double* at) {
    const T* from = static_cast<const T*>(values);
    auto sum = V::all(0);
    double last = 0;
    each<V>(
        words, width,
        [&](Index k, Word bits) {
            const auto size = V::kept_only(bits, V::size_of(V::load(from + k), power));
            sum = V::multiply_add(size, V::load(at + k), sum);
        },
        [&](Index k) { last += size_of(static_cast<double>(from[k]), power) * at[k]; });
    return last + V::sum_of(sum);
}

template <class V, class T>
void axpy(const Word* words, Index width, const void* values, int power, double y, double* at) {
    const T* from = static_cast<const T*>(values);
    const auto all = V::all(y);
    each<V>(
        words, width,
        [&](Index k, Word bits) {
            const auto size = V::kept_only(bits, V::size_of(V::load(from + k), power));
            V::store(at + k, V::multiply_add(size, all, V::load(at + k)));
        },
        [&](Index k) { at[k] += size_of(static_cast<double>(from[k]), power) * y; });
}

template <class V, class T>
void share(const Word* words, Index width, const void* values, int power, double y, const double* at, void* out) {
    const T* from = static_cast<const T*>(values);
    T* to = static_cast<T*>(out);
    const auto all = V::all(y);
    each<V>(
        words, width,
        [&](Index k, Word bits) {
            const auto size = V::kept_only(bits, V::size_of(V::load(from + k), power));
            V::store(to + k, V::multiply(V::multiply(size, V::load(at + k)), all));
        },
        [&](Index k) { to[k] = static_cast<T>(size_of(static_cast<double>(from[k]), power) * at[k] * y); });
}

template <class V>
constexpr SumKernels sums_of(const char* name) {
    return {name,
            kept,
            list,
            count<V>,
            scatter<V>,
            {dot<V, float>, dot<V, double>},
            {axpy<V, float>, axpy<V, double>},
            {share<V, float>, share<V, double>}};
}

}  // namespace
}  // namespace netgraph
