// Betweenness with 512-bit vectors: a unit has 2 of lengths and 8 of numbers.
#include <immintrin.h>

#include "brandes_batch.hpp"

namespace netgraph {
namespace {

struct Avx512 {
    struct Lengths {
        __m512i half[2];
    };
    struct Numbers {
        __m512d part[8];
    };

    static Lengths lengths(const std::uint16_t* at) {
        return {{_mm512_loadu_si512(at), _mm512_loadu_si512(at + 32)}};
    }
    static Numbers numbers(const double* at) {
        Numbers values;
        for (int j = 0; j < 8; ++j) values.part[j] = _mm512_loadu_pd(at + 8 * j);
        return values;
    }
    static void store(std::uint16_t* at, const Lengths& values) {
        for (int h = 0; h < 2; ++h) _mm512_storeu_si512(at + 32 * h, values.half[h]);
    }
    static void store(double* at, const Numbers& values) {
        for (int j = 0; j < 8; ++j) _mm512_storeu_pd(at + 8 * j, values.part[j]);
    }
    static __m512i over(const std::uint16_t* d, std::uint16_t hop, int h) {
        return _mm512_add_epi16(_mm512_loadu_si512(d + 32 * h), _mm512_set1_epi16(static_cast<short>(hop)));
    }

    static void nearer(Lengths& a, const std::uint16_t* d, std::uint16_t hop) {
        for (int h = 0; h < 2; ++h) a.half[h] = _mm512_min_epu16(a.half[h], over(d, hop, h));
    }
    static Word reached(const Lengths& a) {
        const __m512i far = _mm512_set1_epi16(static_cast<short>(no_path));
        return Word{_mm512_cmplt_epu16_mask(a.half[0], far)} | Word{_mm512_cmplt_epu16_mask(a.half[1], far)} << 32;
    }
    // Lanes with a length that the edge attains.
    static Word tight(const Lengths& a, const std::uint16_t* d, std::uint16_t hop) {
        Word mask = 0;
        for (int h = 0; h < 2; ++h)
            mask |= Word{_mm512_cmpeq_epu16_mask(a.half[h], over(d, hop, h))} << 32 * h;
        return mask & reached(a);
    }
    static void add(Numbers& to, const double* from, Word mask) {
        for (int j = 0; j < 8; ++j) {
            const auto lanes = static_cast<__mmask8>(mask >> 8 * j);
            to.part[j] = _mm512_mask_add_pd(to.part[j], lanes, to.part[j], _mm512_loadu_pd(from + 8 * j));
        }
    }
    static Numbers ratio(const double* delta, double goal, const double* paths, Word mask) {
        const __m512d all = _mm512_set1_pd(goal);
        Numbers values;
        for (int j = 0; j < 8; ++j) {
            const __m512d above = _mm512_add_pd(_mm512_loadu_pd(delta + 8 * j), all);
            const auto lanes = static_cast<__mmask8>(mask >> 8 * j);
            values.part[j] = _mm512_maskz_div_pd(lanes, above, _mm512_loadu_pd(paths + 8 * j));
        }
        return values;
    }
    static bool any(const Numbers& values) {
        int found = 0;
        for (const __m512d part : values.part) found |= _mm512_cmp_pd_mask(part, _mm512_setzero_pd(), _CMP_NEQ_OQ);
        return found != 0;
    }
    static double pull(double* delta, const double* paths, const Numbers& weight, Word mask) {
        __m512d sum = _mm512_setzero_pd();
        for (int j = 0; j < 8; ++j) {
            const auto lanes = static_cast<__mmask8>(mask >> 8 * j);
            if (!lanes) continue;
            const __m512d more = _mm512_maskz_mul_pd(lanes, _mm512_loadu_pd(paths + 8 * j), weight.part[j]);
            _mm512_storeu_pd(delta + 8 * j, _mm512_add_pd(_mm512_loadu_pd(delta + 8 * j), more));
            sum = _mm512_add_pd(sum, more);
        }
        return _mm512_reduce_add_pd(sum);
    }
};

}  // namespace

void betweenness_avx512(const SortedEdges& edges, Sources sources, const std::uint8_t* goals, double* found) {
    run_batches<Avx512>(edges, sources, goals, found);
}

}  // namespace netgraph
