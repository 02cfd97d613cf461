// Betweenness with 256-bit vectors: 4 of them hold the numbers of 16 sources.
#include <immintrin.h>

#include "brandes_batch.hpp"

namespace netgraph {
namespace {

struct Avx2 {
    using Mask = std::uint16_t;
    struct Numbers {
        __m256d part[4];
    };

    template <class Length>
    class Lengths {
       public:
        explicit Lengths(const Length* at) {
            for (int v = 0; v < vectors; ++v) own_[v] = load(at + v * lanes);
        }
        void store(Length* at) const {
            for (int v = 0; v < vectors; ++v) _mm256_storeu_si256(reinterpret_cast<__m256i*>(at + v * lanes), own_[v]);
        }
        void nearer(const Length* d, Length hop) {
            for (int v = 0; v < vectors; ++v) {
                const __m256i other = over(d + v * lanes, hop);
                own_[v] = narrow ? _mm256_min_epu8(own_[v], other) : _mm256_min_epu16(own_[v], other);
            }
        }
        Word reached() const {
            return ~flags([this](int v) { return equal(own_[v], _mm256_set1_epi8(-1)); });
        }
        // Lanes with the length of a source and a hop.
        Word attained(const Length* d, Length hop) const {
            return flags([&](int v) { return equal(own_[v], over(d + v * lanes, hop)); });
        }

       private:
        static constexpr bool narrow = sizeof(Length) == 1;
        static constexpr int vectors = 2 * sizeof(Length), lanes = n_lanes / vectors;

        static __m256i load(const Length* at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); }
        static __m256i over(const Length* d, Length hop) {
            return narrow ? _mm256_adds_epu8(load(d), _mm256_set1_epi8(static_cast<char>(hop)))
                          : _mm256_adds_epu16(load(d), _mm256_set1_epi16(static_cast<short>(hop)));
        }
        static __m256i equal(__m256i a, __m256i b) {
            return narrow ? _mm256_cmpeq_epi8(a, b) : _mm256_cmpeq_epi16(a, b);
        }
        // One bit for each lane of vectors of all ones or zeros.
        template <class F>
        static Word flags(F&& vector) {
            Word mask = 0;
            for (int half = 0; half < 2; ++half) {
                __m256i bytes;
                if (narrow) {
                    bytes = vector(half);
                } else {  // packing goes by halves of a vector, so its quarters are put in order
                    bytes = _mm256_packs_epi16(vector(2 * half), vector(2 * half + 1));
                    bytes = _mm256_permute4x64_epi64(bytes, 0b11011000);
                }
                mask |= Word{static_cast<std::uint32_t>(_mm256_movemask_epi8(bytes))} << 32 * half;
            }
            return mask;
        }

        __m256i own_[vectors];
    };

    // Lanes of all ones where the mask has a bit.
    static __m256d lanes(const Mask& mask, int j) {
        const __m256i bits = _mm256_set_epi64x(8 << 4 * j, 4 << 4 * j, 2 << 4 * j, 1 << 4 * j);
        return _mm256_castsi256_pd(_mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x(mask), bits), bits));
    }

    static Numbers ones(const Mask& mask) {
        Numbers values;
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) values.part[j] = _mm256_and_pd(lanes(mask, j), _mm256_set1_pd(1));
        return values;
    }
    static Numbers load(const double* at) {
        Numbers values;
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) values.part[j] = _mm256_loadu_pd(at + 4 * j);
        return values;
    }
    static void store(double* at, const Numbers& values) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) _mm256_storeu_pd(at + 4 * j, values.part[j]);
    }
    static void add(Numbers& to, const double* from, const Mask& mask) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j)
            to.part[j] = _mm256_add_pd(to.part[j], _mm256_and_pd(lanes(mask, j), _mm256_loadu_pd(from + 4 * j)));
    }
    // Add the numbers under the mask and return the sum of each times its `by`.
    static double gather(Numbers& to, const Numbers& by, const double* from, const Mask& mask) {
        __m256d sum = _mm256_setzero_pd();
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
            const __m256d value = _mm256_and_pd(lanes(mask, j), _mm256_loadu_pd(from + 4 * j));
            to.part[j] = _mm256_add_pd(to.part[j], value);
            sum = _mm256_add_pd(sum, _mm256_mul_pd(by.part[j], value));
        }
        const __m128d half = _mm_add_pd(_mm256_castpd256_pd128(sum), _mm256_extractf128_pd(sum, 1));
        return _mm_cvtsd_f64(_mm_add_sd(half, _mm_unpackhi_pd(half, half)));
    }
    static void add_inverse(Numbers& to, const Numbers& from) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
            const __m256d some = _mm256_cmp_pd(from.part[j], _mm256_setzero_pd(), _CMP_NEQ_OQ);
            const __m256d inverse = _mm256_and_pd(some, _mm256_div_pd(_mm256_set1_pd(1), from.part[j]));
            to.part[j] = _mm256_add_pd(to.part[j], inverse);
        }
    }
};

}  // namespace

void betweenness_avx2(const SortedEdges& edges, const OutEdges& out, bool deep, Sources sources,
                      const std::uint8_t* goals, double* found) {
    run_all<Avx2>(edges, out, deep, sources, goals, found);
}

}  // namespace netgraph
