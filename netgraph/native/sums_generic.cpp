// The loops of sums.hpp in portable C++: one kept element after the other.
#include <cmath>
#include <cstring>

#include "sum_rows.hpp"

namespace netgraph {
namespace {

template <class T>
double size_of(const void* w, Index k, int power) {
    const double size = std::fabs(static_cast<double>(static_cast<const T*>(w)[k]));
    return power == 2 ? size * size : size;
}

double count(const Word* words, Index width, const double* at) {
    double sum = 0;
    for_bits(words, words_for(width), [&](Index k) { sum += at[k]; });
    return sum;
}

void scatter(const Word* words, Index width, double y, double* at) {
    for_bits(words, words_for(width), [&](Index k) { at[k] += y; });
}

template <class T>
double dot(const Word* words, Index width, const void* w, int power, const double* at) {
    double sum = 0;
    for_bits(words, words_for(width), [&](Index k) { sum += size_of<T>(w, k, power) * at[k]; });
    return sum;
}

template <class T>
void axpy(const Word* words, Index width, const void* w, int power, double y, double* at) {
    for_bits(words, words_for(width), [&](Index k) { at[k] += size_of<T>(w, k, power) * y; });
}

template <class T>
void share(const Word* words, Index width, const void* w, int power, double y, const double* at, void* out) {
    T* to = static_cast<T*>(out);
    std::memset(to, 0, width * sizeof(T));
    for_bits(words, words_for(width), [&](Index k) { to[k] = static_cast<T>(size_of<T>(w, k, power) * at[k] * y); });
}

}  // namespace

const SumKernels sums_generic = {
    "generic", kept, list, count, scatter, {dot<float>, dot<double>}, {axpy<float>, axpy<double>},
    {share<float>, share<double>}};

}  // namespace netgraph
