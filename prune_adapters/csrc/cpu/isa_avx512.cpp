// The kernels with 512-bit vectors: the bits are the mask of a load; compiled with -mavx512{f,bw,vl,dq}.
#include <immintrin.h>

#include "loops.hpp"

namespace prune_adapters {
namespace {

template <int size>
__m512i load_kept(const char* at, Word kept) {
    if constexpr (size == 1) return _mm512_maskz_loadu_epi8(kept, at);
    if constexpr (size == 2) return _mm512_maskz_loadu_epi16(static_cast<__mmask32>(kept), at);
    if constexpr (size == 4) return _mm512_maskz_loadu_epi32(static_cast<__mmask16>(kept), at);
    if constexpr (size == 8) return _mm512_maskz_loadu_epi64(static_cast<__mmask8>(kept), at);
    // Two lanes an element: each of four bits is doubled.
    const unsigned b = static_cast<unsigned>(kept);
    const unsigned spaced = (b & 1) | (b & 2) << 1 | (b & 4) << 2 | (b & 8) << 3;
    return _mm512_maskz_loadu_epi64(static_cast<__mmask8>(spaced * 3), at);
}

struct Avx512 {
    template <int size>
    static void clear_block(char* at, Word kept) {
        for (int k = 0; k < 64; k += 64 / size, at += 64)
            _mm512_storeu_si512(at, load_kept<size>(at, kept >> k));
    }
};

}  // namespace

const Kernels kernels_avx512 = table_of<Avx512>("avx512");

}  // namespace prune_adapters
