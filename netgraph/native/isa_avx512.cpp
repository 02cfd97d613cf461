// The kernels with 512-bit vectors; compiled with -mavx512{f,bw,vl,dq,vpopcntdq}.
#include <immintrin.h>

#include "rows.hpp"

namespace netgraph {
namespace {

// For each width of a value: flags "not zero", and the largest value seen, which tells NaN at the end.
template <class Bits>
struct Compare;
template <>
struct Compare<std::uint64_t> {
    static __m512i all(std::uint64_t value) { return _mm512_set1_epi64(static_cast<long long>(value)); }
    static Word flags(__m512i a) { return _mm512_test_epi64_mask(a, a); }
    static __m512i larger(__m512i a, __m512i b) { return _mm512_max_epu64(a, b); }
    static bool above(__m512i a, __m512i b) { return _mm512_cmpgt_epu64_mask(a, b) != 0; }
};
template <>
struct Compare<std::uint32_t> {
    static __m512i all(std::uint32_t value) { return _mm512_set1_epi32(static_cast<int>(value)); }
    static Word flags(__m512i a) { return _mm512_test_epi32_mask(a, a); }
    static __m512i larger(__m512i a, __m512i b) { return _mm512_max_epu32(a, b); }
    static bool above(__m512i a, __m512i b) { return _mm512_cmpgt_epu32_mask(a, b) != 0; }
};
template <>
struct Compare<std::uint16_t> {
    static __m512i all(std::uint16_t value) { return _mm512_set1_epi16(static_cast<short>(value)); }
    static Word flags(__m512i a) { return _mm512_test_epi16_mask(a, a); }
    static __m512i larger(__m512i a, __m512i b) { return _mm512_max_epu16(a, b); }
    static bool above(__m512i a, __m512i b) { return _mm512_cmpgt_epu16_mask(a, b) != 0; }
};
template <>
struct Compare<std::uint8_t> {
    static __m512i all(std::uint8_t value) { return _mm512_set1_epi8(static_cast<char>(value)); }
    static Word flags(__m512i a) { return _mm512_test_epi8_mask(a, a); }
    static __m512i larger(__m512i a, __m512i) { return a; }  // no byte is NaN
    static bool above(__m512i, __m512i) { return false; }
};

struct Avx512 {
    static constexpr Index words = 8;
    static constexpr int panel = 8;
    using Vector = __m512i;
    using Lanes = __mmask8;

    static Lanes first(Index count) { return static_cast<Lanes>(low_bits(count)); }
    static Vector load(const Word* at) { return _mm512_loadu_si512(at); }
    static Vector load(const Word* at, Lanes lanes) { return _mm512_maskz_loadu_epi64(lanes, at); }
    static void store(Word* at, Vector value) { _mm512_storeu_si512(at, value); }
    static Vector both(Vector a, Vector b) { return _mm512_and_si512(a, b); }
    static Vector either(Vector a, Vector b) { return _mm512_or_si512(a, b); }
    static Vector either(Vector a, Vector b, Vector c) { return _mm512_ternarylogic_epi64(a, b, c, 0xfe); }
    static Vector without(Vector a, Vector b) { return _mm512_andnot_si512(b, a); }
    static bool covers(Vector a, Vector all) { return _mm512_cmpneq_epi64_mask(a, all) == 0; }
    static bool any(Vector a) { return _mm512_test_epi64_mask(a, a) != 0; }

    // Rotates each lane of G bits to the left.
    template <int G>
    struct Turn {
        Vector by;
        explicit Turn(std::uint32_t shift)
            : by(G == 64 ? _mm512_set1_epi64(shift) : _mm512_set1_epi32(static_cast<int>(shift))) {}
        Vector operator()(Vector a) const { return G == 64 ? _mm512_rolv_epi64(a, by) : _mm512_rolv_epi32(a, by); }
    };

    struct Counter {
        Vector sum = _mm512_setzero_si512();
        void add(Vector value) { sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(value)); }
        Index total() const { return _mm512_reduce_add_epi64(sum); }
    };

    template <Element E>
    struct Packer {
        using Bits = typename Format<E>::Bits;
        using On = Compare<Bits>;
        static constexpr int lanes = 64 / sizeof(Bits);
        Vector largest = _mm512_setzero_si512();

        Word pack(const char* at) {
            Word word = 0;
            for (int k = 0; k < 64; k += lanes) {
                const Vector value = both(_mm512_loadu_si512(at + k * sizeof(Bits)), On::all(Format<E>::magnitude));
                largest = On::larger(largest, value);
                word |= On::flags(value) << k;
            }
            return word;
        }
        bool saw_nan() const { return On::above(largest, On::all(Format<E>::infinity)); }
    };

    static void spread(Word bits, std::uint8_t* bytes) {
        _mm512_storeu_si512(bytes, _mm512_maskz_set1_epi8(bits, 1));
    }
};

template <>
struct Avx512::Turn<16> {
    __m128i left, right;
    explicit Turn(std::uint32_t shift)
        : left(_mm_cvtsi32_si128(static_cast<int>(shift))), right(_mm_cvtsi32_si128(static_cast<int>(16 - shift))) {}
    Vector operator()(Vector a) const { return either(_mm512_sll_epi16(a, left), _mm512_srl_epi16(a, right)); }
};

// There is no shift of such narrow lanes: what stays in its lane and what goes round are shifted apart.
template <int G>
struct NarrowTurn {
    __m512i stay;
    __m128i left, right;
    explicit NarrowTurn(std::uint32_t shift)
        : stay(_mm512_set1_epi64(static_cast<long long>(low_lanes<G>(G - shift)))),
          left(_mm_cvtsi32_si128(static_cast<int>(shift))),
          right(_mm_cvtsi32_si128(static_cast<int>(G - shift))) {}
    __m512i operator()(__m512i a) const {
        return _mm512_or_si512(_mm512_sll_epi64(_mm512_and_si512(a, stay), left),
                               _mm512_srl_epi64(_mm512_andnot_si512(stay, a), right));
    }
};
template <>
struct Avx512::Turn<8> : NarrowTurn<8> {
    using NarrowTurn::NarrowTurn;
};
template <>
struct Avx512::Turn<4> : NarrowTurn<4> {
    using NarrowTurn::NarrowTurn;
};

// 256 bits at a time, for rows that are no wider.
struct Half {
    static constexpr Index words = 4;
    using Vector = __m256i;

    static Vector load(const Word* at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); }
    static void store(Word* at, Vector value) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), value); }
    static Vector either(Vector a, Vector b) { return _mm256_or_si256(a, b); }
    static Vector either(Vector a, Vector b, Vector c) { return _mm256_ternarylogic_epi64(a, b, c, 0xfe); }
    static bool covers(Vector a, Vector all) { return _mm256_cmpneq_epi64_mask(a, all) == 0; }

    struct Counter {
        Vector sum = _mm256_setzero_si256();
        void add(Vector value) { sum = _mm256_add_epi64(sum, _mm256_popcnt_epi64(value)); }
        Index total() const { return _mm512_reduce_add_epi64(_mm512_zextsi256_si512(sum)); }
    };
};

}  // namespace

const Kernels kernels_avx512 = table_of<Avx512, Half>("avx512");

}  // namespace netgraph
