// The loops of sums.hpp with 512-bit vectors.
#include <immintrin.h>

#include "sum_rows.hpp"

namespace netgraph {
namespace {

struct Avx512 {
    static constexpr int lanes = 8;
    using Values = __m512d;

    static Values load(const double* at) { return _mm512_loadu_pd(at); }
    static Values load(const float* at) { return _mm512_cvtps_pd(_mm256_loadu_ps(at)); }
    static void store(double* at, Values value) { _mm512_storeu_pd(at, value); }
    static void store(float* at, Values value) { _mm256_storeu_ps(at, _mm512_cvtpd_ps(value)); }

    static Values all(double value) { return _mm512_set1_pd(value); }
    static Values add(Values a, Values b) { return _mm512_add_pd(a, b); }
    static Values multiply(Values a, Values b) { return _mm512_mul_pd(a, b); }
    static Values multiply_add(Values a, Values b, Values c) { return _mm512_fmadd_pd(a, b, c); }
    static Values size_of(Values value, int power) { return power == 2 ? multiply(value, value) : _mm512_abs_pd(value); }
    static double sum_of(Values value) { return _mm512_reduce_add_pd(value); }

    // The lanes of the lowest bits, the others 0 whatever they hold.
    static Values kept_only(Word bits, Values value) {
        return _mm512_maskz_mov_pd(static_cast<__mmask8>(bits), value);
    }
};

}  // namespace

const SumKernels sums_avx512 = sums_of<Avx512>("avx512");

}  // namespace netgraph
