// The loops of sums.hpp with 256-bit vectors: whole words in vectors, the last one of a row bit by bit.
#include <immintrin.h>

#include "sum_rows.hpp"

namespace netgraph {
namespace {

__m256d load(const double* at) { return _mm256_loadu_pd(at); }
__m256d load(const float* at) { return _mm256_cvtps_pd(_mm_loadu_ps(at)); }

void store(double* at, __m256d value) { _mm256_storeu_pd(at, value); }
void store(float* at, __m256d value) { _mm_storeu_ps(at, _mm256_cvtpd_ps(value)); }

// The lanes of four bits, the others 0 whatever they hold.
__m256d kept_only(Word four, __m256d value) {
    const __m256i bits = _mm256_set_epi64x(8, 4, 2, 1), all = _mm256_set1_epi64x(static_cast<long long>(four));
    return _mm256_and_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(_mm256_and_si256(all, bits), bits)), value);
}

__m256d size_of(__m256d value, int power) {
    return power == 2 ? _mm256_mul_pd(value, value) : _mm256_andnot_pd(_mm256_set1_pd(-0.0), value);
}

double size_of(double value, int power) { return power == 2 ? value * value : __builtin_fabs(value); }

double sum_of(__m256d value) {
    const __m128d half = _mm_add_pd(_mm256_castpd256_pd128(value), _mm256_extractf128_pd(value, 1));
    return _mm_cvtsd_f64(_mm_add_sd(half, _mm_unpackhi_pd(half, half)));
}

// Calls vector(k, bits) for four elements from k on in whole words, single(k) for each kept one of the last.
template <class Vector, class Single>
void each(const Word* words, Index width, Vector&& vector, Single&& single) {
    const Index whole = width / 64;
    for (Index w = 0; w < whole; ++w)
        if (const Word rest = words[w])
            for (int j = 0; j < 64; j += 4) vector(64 * w + j, rest >> j);
    if (width % 64)
        for (Word rest = words[whole]; rest; rest &= rest - 1) single(64 * whole + __builtin_ctzll(rest));
}

double count(const Word* words, Index width, const double* at) {
    __m256d sum = _mm256_setzero_pd();
    double last = 0;
    each(words, width, [&](Index k, Word bits) { sum = _mm256_add_pd(sum, kept_only(bits, load(at + k))); },
         [&](Index k) { last += at[k]; });
    return last + sum_of(sum);
}

void scatter(const Word* words, Index width, double y, double* at) {
    const __m256d all = _mm256_set1_pd(y);
    each(words, width, [&](Index k, Word bits) { store(at + k, _mm256_add_pd(load(at + k), kept_only(bits, all))); },
         [&](Index k) { at[k] += y; });
}

template <class T>
double dot(const Word* words, Index width, const void* values, int power, const double* at) {
    const T* from = static_cast<const T*>(values);
    __m256d sum = _mm256_setzero_pd();
    double last = 0;
    each(
        words, width,
        [&](Index k, Word bits) {
            const __m256d size = kept_only(bits, size_of(load(from + k), power));
            sum = _mm256_add_pd(sum, _mm256_mul_pd(size, load(at + k)));
        },
        [&](Index k) { last += size_of(static_cast<double>(from[k]), power) * at[k]; });
    return last + sum_of(sum);
}

template <class T>
void axpy(const Word* words, Index width, const void* values, int power, double y, double* at) {
    const T* from = static_cast<const T*>(values);
    const __m256d all = _mm256_set1_pd(y);
    each(
        words, width,
        [&](Index k, Word bits) {
            const __m256d size = kept_only(bits, size_of(load(from + k), power));
            store(at + k, _mm256_add_pd(load(at + k), _mm256_mul_pd(size, all)));
        },
        [&](Index k) { at[k] += size_of(static_cast<double>(from[k]), power) * y; });
}

template <class T>
void share(const Word* words, Index width, const void* values, int power, double y, const double* at, void* out) {
    const T* from = static_cast<const T*>(values);
    T* to = static_cast<T*>(out);
    const __m256d all = _mm256_set1_pd(y);
    each(
        words, width,
        [&](Index k, Word bits) {
            const __m256d size = kept_only(bits, size_of(load(from + k), power));
            store(to + k, _mm256_mul_pd(_mm256_mul_pd(size, load(at + k)), all));
        },
        [&](Index k) { to[k] = static_cast<T>(size_of(static_cast<double>(from[k]), power) * at[k] * y); });
}

}  // namespace

const SumKernels sums_avx2 = {
    "avx2", kept, list, count, scatter, {dot<float>, dot<double>}, {axpy<float>, axpy<double>},
    {share<float>, share<double>}};

}  // namespace netgraph
