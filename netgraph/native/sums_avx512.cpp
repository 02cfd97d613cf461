// The loops of sums.hpp with 512-bit vectors.
#include <immintrin.h>

#include "sum_rows.hpp"

namespace netgraph {
namespace {

__m512d load(__mmask8 lanes, const double* at) { return _mm512_maskz_loadu_pd(lanes, at); }
__m512d load(__mmask8 lanes, const float* at) { return _mm512_cvtps_pd(_mm256_maskz_loadu_ps(lanes, at)); }

void store(double* at, __m512d value, __mmask8 lanes) { _mm512_mask_storeu_pd(at, lanes, value); }
void store(float* at, __m512d value, __mmask8 lanes) { _mm256_mask_storeu_ps(at, lanes, _mm512_cvtpd_ps(value)); }

__m512d size_of(__m512d value, int power) { return power == 2 ? _mm512_mul_pd(value, value) : _mm512_abs_pd(value); }

double count(const Word* words, Index width, const double* at) {
    __m512d sums[2] = {_mm512_setzero_pd(), _mm512_setzero_pd()};
    for (Index w = 0; w < words_for(width); ++w, at += 64)
        for (int j = 0; j < 8 && words[w]; ++j)
            sums[j % 2] = _mm512_add_pd(sums[j % 2], load(static_cast<__mmask8>(words[w] >> 8 * j), at + 8 * j));
    return _mm512_reduce_add_pd(_mm512_add_pd(sums[0], sums[1]));
}

void scatter(const Word* words, Index width, double y, double* at) {
    const __m512d all = _mm512_set1_pd(y);
    for (Index w = 0; w < words_for(width); ++w, at += 64)
        for (int j = 0; j < 8 && words[w]; ++j) {
            const auto lanes = static_cast<__mmask8>(words[w] >> 8 * j);
            store(at + 8 * j, _mm512_add_pd(load(lanes, at + 8 * j), all), lanes);
        }
}

template <class T>
double dot(const Word* words, Index width, const void* values, int power, const double* at) {
    const T* from = static_cast<const T*>(values);
    __m512d sums[2] = {_mm512_setzero_pd(), _mm512_setzero_pd()};
    for (Index w = 0; w < words_for(width); ++w, at += 64, from += 64)
        for (int j = 0; j < 8 && words[w]; ++j) {
            const auto lanes = static_cast<__mmask8>(words[w] >> 8 * j);
            const __m512d size = size_of(load(lanes, from + 8 * j), power);
            sums[j % 2] = _mm512_fmadd_pd(size, load(lanes, at + 8 * j), sums[j % 2]);
        }
    return _mm512_reduce_add_pd(_mm512_add_pd(sums[0], sums[1]));
}

template <class T>
void axpy(const Word* words, Index width, const void* values, int power, double y, double* at) {
    const T* from = static_cast<const T*>(values);
    const __m512d all = _mm512_set1_pd(y);
    for (Index w = 0; w < words_for(width); ++w, at += 64, from += 64)
        for (int j = 0; j < 8 && words[w]; ++j) {
            const auto lanes = static_cast<__mmask8>(words[w] >> 8 * j);
            const __m512d size = size_of(load(lanes, from + 8 * j), power);
            store(at + 8 * j, _mm512_fmadd_pd(size, all, load(lanes, at + 8 * j)), lanes);
        }
}

template <class T>
void share(const Word* words, Index width, const void* values, int power, double y, const double* at, void* out) {
    const T* from = static_cast<const T*>(values);
    T* to = static_cast<T*>(out);
    const __m512d all = _mm512_set1_pd(y);
    for (Index k = 0; k < width; k += 8) {
        const auto lanes = static_cast<__mmask8>(words[k / 64] >> k % 64);
        const auto there = static_cast<__mmask8>(low_bits(width - k));
        __m512d value = _mm512_setzero_pd();
        if (lanes) {
            const __m512d size = size_of(load(lanes, from + k), power);
            value = _mm512_mul_pd(_mm512_mul_pd(size, load(lanes, at + k)), all);
        }
        store(to + k, value, there);
    }
}

}  // namespace

const SumKernels sums_avx512 = {
    "avx512", kept, list, count, scatter, {dot<float>, dot<double>}, {axpy<float>, axpy<double>},
    {share<float>, share<double>}};

}  // namespace netgraph
