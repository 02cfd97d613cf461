// The lanes of brandes.hpp with 512-bit vectors.
#include <immintrin.h>

#include "brandes.hpp"

namespace netgraph {
namespace {

__m512i lengths(const std::uint16_t* at, int half) { return _mm512_loadu_si512(at + 32 * half); }

void nearer(std::uint16_t* a, const std::uint16_t* d, std::uint16_t hop) {
    const __m512i step = _mm512_set1_epi16(static_cast<short>(hop));
    for (int half = 0; half < 2; ++half)
        _mm512_storeu_si512(a + 32 * half,
                            _mm512_min_epu16(lengths(a, half), _mm512_add_epi16(lengths(d, half), step)));
}

Word tight(const std::uint16_t* a, const std::uint16_t* d, std::uint16_t hop) {
    const __m512i step = _mm512_set1_epi16(static_cast<short>(hop));
    const __m512i far = _mm512_set1_epi16(static_cast<short>(no_path));
    Word mask = 0;
    for (int half = 0; half < 2; ++half) {
        const __mmask32 same = _mm512_cmpeq_epu16_mask(lengths(a, half), _mm512_add_epi16(lengths(d, half), step));
        mask |= Word{_mm512_mask_cmplt_epu16_mask(same, lengths(a, half), far)} << 32 * half;
    }
    return mask;
}

void add(double* to, const double* from, Word mask) {
    for (int j = 0; j < 8; ++j, mask >>= 8) {
        const auto lanes = static_cast<__mmask8>(mask);
        const __m512d sum = _mm512_add_pd(_mm512_loadu_pd(to + 8 * j), _mm512_maskz_loadu_pd(lanes, from + 8 * j));
        _mm512_storeu_pd(to + 8 * j, sum);
    }
}

bool weigh(double* to, const double* delta, double goal, const double* paths, Word mask) {
    const __m512d all = _mm512_set1_pd(goal);
    int any = 0;
    for (int j = 0; j < 8; ++j, mask >>= 8) {
        const auto lanes = static_cast<__mmask8>(mask);
        const __m512d above = _mm512_add_pd(_mm512_loadu_pd(delta + 8 * j), all);
        const __m512d weight = _mm512_maskz_div_pd(lanes, above, _mm512_loadu_pd(paths + 8 * j));
        any |= _mm512_cmp_pd_mask(weight, _mm512_setzero_pd(), _CMP_NEQ_OQ);
        _mm512_storeu_pd(to + 8 * j, weight);
    }
    return any != 0;
}

double pull(double* delta, const double* paths, const double* weight, Word mask) {
    __m512d sum = _mm512_setzero_pd();
    for (int j = 0; j < 8; ++j, mask >>= 8) {
        const auto lanes = static_cast<__mmask8>(mask);
        const __m512d more = _mm512_maskz_mul_pd(lanes, _mm512_loadu_pd(paths + 8 * j), _mm512_loadu_pd(weight + 8 * j));
        _mm512_storeu_pd(delta + 8 * j, _mm512_add_pd(_mm512_loadu_pd(delta + 8 * j), more));
        sum = _mm512_add_pd(sum, more);
    }
    return _mm512_reduce_add_pd(sum);
}

}  // namespace

const Lanes lanes_avx512 = {"avx512", nearer, tight, add, weigh, pull};

}  // namespace netgraph
