// Betweenness with 512-bit vectors: 4 of them hold the numbers of 32 sources.
#include <immintrin.h>

#include "brandes_batch.hpp"

namespace netgraph {
namespace {

struct Avx512 {
    using Mask = std::uint32_t;
    struct Numbers {
        __m512d part[4];
    };

    template <class Length>
    class Lengths {
       public:
        explicit Lengths(const Length* at) {
            for (int v = 0; v < vectors; ++v) own_[v] = _mm512_loadu_si512(at + v * lanes);
        }
        void store(Length* at) const {
            for (int v = 0; v < vectors; ++v) _mm512_storeu_si512(at + v * lanes, own_[v]);
        }
        void nearer(const Length* d, Length hop) {
            for (int v = 0; v < vectors; ++v) {
                const __m512i other = over(d + v * lanes, hop);
                own_[v] = narrow ? _mm512_min_epu8(own_[v], other) : _mm512_min_epu16(own_[v], other);
            }
        }
        Word reached() const {
            Word far = 0;
            for (int v = 0; v < vectors; ++v) far |= equal(own_[v], _mm512_set1_epi8(-1)) << v * lanes;
            return ~far;
        }
        // Lanes with the length of a source and a hop.
        Word attained(const Length* d, Length hop) const {
            Word mask = 0;
            for (int v = 0; v < vectors; ++v) mask |= equal(own_[v], over(d + v * lanes, hop)) << v * lanes;
            return mask;
        }

       private:
        static constexpr bool narrow = sizeof(Length) == 1;
        static constexpr int vectors = sizeof(Length), lanes = n_lanes / vectors;

        static __m512i over(const Length* d, Length hop) {
            const __m512i value = _mm512_loadu_si512(d);
            return narrow ? _mm512_adds_epu8(value, _mm512_set1_epi8(static_cast<char>(hop)))
                          : _mm512_adds_epu16(value, _mm512_set1_epi16(static_cast<short>(hop)));
        }
        static Word equal(__m512i a, __m512i b) {
            return narrow ? Word{_mm512_cmpeq_epu8_mask(a, b)} : Word{_mm512_cmpeq_epu16_mask(a, b)};
        }

        __m512i own_[vectors];
    };

    // Loaded byte by byte: shifts from one mask register to the next would take longer.
    static __mmask8 lanes(const Mask& mask, int j) { return reinterpret_cast<const __mmask8*>(&mask)[j]; }

    static Numbers ones(const Mask& mask) {
        Numbers values;
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) values.part[j] = _mm512_maskz_mov_pd(lanes(mask, j), _mm512_set1_pd(1));
        return values;
    }
    static Numbers load(const double* at) {
        Numbers values;
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) values.part[j] = _mm512_loadu_pd(at + 8 * j);
        return values;
    }
    static void store(double* at, const Numbers& values) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) _mm512_storeu_pd(at + 8 * j, values.part[j]);
    }
    static void add(Numbers& to, const double* from, const Mask& mask) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j)
            to.part[j] = _mm512_mask_add_pd(to.part[j], lanes(mask, j), to.part[j], _mm512_loadu_pd(from + 8 * j));
    }
    // Add the numbers under the mask and return the sum of each times its `by`.
    static double gather(Numbers& to, const Numbers& by, const double* from, const Mask& mask) {
        __m512d sum = _mm512_setzero_pd();
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
            const __m512d value = _mm512_maskz_loadu_pd(lanes(mask, j), from + 8 * j);
            to.part[j] = _mm512_add_pd(to.part[j], value);
            sum = _mm512_fmadd_pd(by.part[j], value, sum);
        }
        return _mm512_reduce_add_pd(sum);
    }
    static void add_inverse(Numbers& to, const Numbers& from) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
            const __mmask8 some = _mm512_cmp_pd_mask(from.part[j], _mm512_setzero_pd(), _CMP_NEQ_OQ);
            to.part[j] = _mm512_add_pd(to.part[j], _mm512_maskz_div_pd(some, _mm512_set1_pd(1), from.part[j]));
        }
    }
};

}  // namespace

void betweenness_avx512(const SortedEdges& edges, const OutEdges& out, bool deep, Sources sources,
                        const std::uint8_t* goals, double* found) {
    run_all<Avx512>(edges, out, deep, sources, goals, found);
}

}  // namespace netgraph
