// The kernels with 256-bit vectors; compiled with -mavx2 -mpopcnt.
#include <immintrin.h>

#include "rows.hpp"

namespace netgraph {
namespace {

inline __m256i load_bytes(const char* at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); }

// For each format: 256 bits of values to flags "is zero", one bit a value. AVX2 compares for equality only.
template <class Bits>
struct Compare;
template <>
struct Compare<std::uint64_t> {
    static __m256i all(std::uint64_t value) { return _mm256_set1_epi64x(static_cast<long long>(value)); }
    static __m256i above(__m256i a, __m256i b) { return _mm256_cmpgt_epi64(a, b); }
    static __m256i zero(__m256i a) { return _mm256_cmpeq_epi64(a, _mm256_setzero_si256()); }
    static Word flags(__m256i a) { return static_cast<Word>(_mm256_movemask_pd(_mm256_castsi256_pd(a))); }
};
template <>
struct Compare<std::uint32_t> {
    static __m256i all(std::uint32_t value) { return _mm256_set1_epi32(static_cast<int>(value)); }
    static __m256i above(__m256i a, __m256i b) { return _mm256_cmpgt_epi32(a, b); }
    static __m256i zero(__m256i a) { return _mm256_cmpeq_epi32(a, _mm256_setzero_si256()); }
    static Word flags(__m256i a) { return static_cast<Word>(_mm256_movemask_ps(_mm256_castsi256_ps(a))); }
};
template <>
struct Compare<std::uint16_t> {
    static __m256i all(std::uint16_t value) { return _mm256_set1_epi16(static_cast<short>(value)); }
    static __m256i above(__m256i a, __m256i b) { return _mm256_cmpgt_epi16(a, b); }
    static __m256i zero(__m256i a) { return _mm256_cmpeq_epi16(a, _mm256_setzero_si256()); }
    static Word flags(__m256i a) {
        const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
        return static_cast<Word>(_mm_movemask_epi8(bytes));
    }
};
template <>
struct Compare<std::uint8_t> {
    static __m256i all(std::uint8_t value) { return _mm256_set1_epi8(static_cast<char>(value)); }
    static __m256i above(__m256i, __m256i) { return _mm256_setzero_si256(); }  // no byte is NaN
    static __m256i zero(__m256i a) { return _mm256_cmpeq_epi8(a, _mm256_setzero_si256()); }
    static Word flags(__m256i a) { return static_cast<std::uint32_t>(_mm256_movemask_epi8(a)); }
};

struct Avx2 {
    static constexpr Index words = 4;
    static constexpr int panel = 4;
    using Vector = __m256i;
    using Lanes = __m256i;

    static Lanes first(Index count) {
        return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_set_epi64x(3, 2, 1, 0));
    }
    static Vector load(const Word* at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); }
    static Vector load(const Word* at, Lanes lanes) {
        return _mm256_maskload_epi64(reinterpret_cast<const long long*>(at), lanes);
    }
    static void store(Word* at, Vector value) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), value); }
    static Vector both(Vector a, Vector b) { return _mm256_and_si256(a, b); }
    static Vector either(Vector a, Vector b) { return _mm256_or_si256(a, b); }
    static Vector either(Vector a, Vector b, Vector c) { return either(either(a, b), c); }
    static Vector without(Vector a, Vector b) { return _mm256_andnot_si256(b, a); }
    static bool covers(Vector a, Vector all) { return _mm256_testc_si256(a, all); }
    static bool any(Vector a) { return !_mm256_testz_si256(a, a); }

    // Rotates each lane of G bits to the left.
    template <int G>
    struct Turn {
        __m128i left, right;
        explicit Turn(std::uint32_t shift)
            : left(_mm_cvtsi32_si128(static_cast<int>(shift))), right(_mm_cvtsi32_si128(static_cast<int>(G - shift))) {}
        Vector operator()(Vector a) const {
            if (G == 64) return either(_mm256_sll_epi64(a, left), _mm256_srl_epi64(a, right));
            if (G == 32) return either(_mm256_sll_epi32(a, left), _mm256_srl_epi32(a, right));
            return either(_mm256_sll_epi16(a, left), _mm256_srl_epi16(a, right));
        }
    };

    // Counts the bits of each half byte by table; sum of absolute differences adds the bytes of a word.
    struct Counter {
        Vector sum = _mm256_setzero_si256();
        void add(Vector value) {
            const Vector low = _mm256_set1_epi8(0x0f);
            const Vector table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                                  0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
            const Vector lower = _mm256_shuffle_epi8(table, both(value, low));
            const Vector upper = _mm256_shuffle_epi8(table, both(_mm256_srli_epi16(value, 4), low));
            sum = _mm256_add_epi64(sum, _mm256_sad_epu8(_mm256_add_epi8(lower, upper), _mm256_setzero_si256()));
        }
        Index total() const {
            Word lanes[words];
            store(lanes, sum);
            return static_cast<Index>(lanes[0] + lanes[1] + lanes[2] + lanes[3]);
        }
    };

    template <Element E>
    struct Packer {
        using Bits = typename Format<E>::Bits;
        using On = Compare<Bits>;
        static constexpr int lanes = 32 / sizeof(Bits);
        Vector nan = _mm256_setzero_si256();

        Word pack(const char* at) {
            Word zeros = 0;
            for (int k = 0; k < 64; k += lanes) {
                const Vector value = both(load_bytes(at + k * sizeof(Bits)), On::all(Format<E>::magnitude));
                nan = either(nan, On::above(value, On::all(Format<E>::infinity)));
                zeros |= On::flags(On::zero(value)) << k;
            }
            return ~zeros;
        }
        bool saw_nan() const { return any(nan); }
    };

    static void spread(Word bits, std::uint8_t* bytes) {
        const Vector octet = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,  //
                                              2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
        const Vector bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201));
        for (int half = 0; half < 2; ++half, bits >>= 32, bytes += 32) {
            const Vector copies = _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int>(bits)), octet);
            const Vector flags = _mm256_cmpeq_epi8(both(copies, bit), bit);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(bytes), both(flags, _mm256_set1_epi8(1)));
        }
    }
};

// There is no shift of such narrow lanes: what stays in its lane and what goes round are shifted apart.
template <int G>
struct NarrowTurn {
    __m256i stay;
    __m128i left, right;
    explicit NarrowTurn(std::uint32_t shift)
        : stay(_mm256_set1_epi64x(static_cast<long long>(low_lanes<G>(G - shift)))),
          left(_mm_cvtsi32_si128(static_cast<int>(shift))),
          right(_mm_cvtsi32_si128(static_cast<int>(G - shift))) {}
    __m256i operator()(__m256i a) const {
        return _mm256_or_si256(_mm256_sll_epi64(_mm256_and_si256(a, stay), left),
                               _mm256_srl_epi64(_mm256_andnot_si256(stay, a), right));
    }
};
template <>
struct Avx2::Turn<8> : NarrowTurn<8> {
    using NarrowTurn::NarrowTurn;
};
template <>
struct Avx2::Turn<4> : NarrowTurn<4> {
    using NarrowTurn::NarrowTurn;
};

}  // namespace

const Kernels kernels_avx2 = table_of<Avx2, Avx2>("avx2");

}  // namespace netgraph
