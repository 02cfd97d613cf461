// The loops of sums.hpp with 256-bit vectors.
#include <immintrin.h>

#include "sum_rows.hpp"

namespace netgraph {
namespace {

struct Avx2 {
    static constexpr int lanes = 4;
    using Values = __m256d;

    static Values load(const double* at) { return _mm256_loadu_pd(at); }
    static Values load(const float* at) { return _mm256_cvtps_pd(_mm_loadu_ps(at)); }
    static void store(double* at, Values value) { _mm256_storeu_pd(at, value); }
    static void store(float* at, Values value) { _mm_storeu_ps(at, _mm256_cvtpd_ps(value)); }

    static Values all(double value) { return _mm256_set1_pd(value); }
    static Values add(Values a, Values b) { return _mm256_add_pd(a, b); }
    static Values multiply(Values a, Values b) { return _mm256_mul_pd(a, b); }
    static Values multiply_add(Values a, Values b, Values c) { return add(multiply(a, b), c); }
    static Values size_of(Values value, int power) {
        return power == 2 ? multiply(value, value) : _mm256_andnot_pd(all(-0.0), value);
    }
    static double sum_of(Values value) {
        const __m128d half = _mm_add_pd(_mm256_castpd256_pd128(value), _mm256_extractf128_pd(value, 1));
        return _mm_cvtsd_f64(_mm_add_sd(half, _mm_unpackhi_pd(half, half)));
    }

    // The lanes of the lowest bits, the others 0 whatever they hold.
    static Values kept_only(Word bits, Values value) {
        const __m256i lane = _mm256_set_epi64x(8, 4, 2, 1), copies = _mm256_set1_epi64x(static_cast<long long>(bits));
        return _mm256_and_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(_mm256_and_si256(copies, lane), lane)), value);
    }
};

}  // namespace

const SumKernels sums_avx2 = sums_of<Avx2>("avx2");

}  // namespace netgraph
