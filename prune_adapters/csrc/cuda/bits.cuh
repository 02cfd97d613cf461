// Packed bits: bit k of byte j belongs to element 8 j + k.
#pragma once

#include "device.cuh"
#include "kernels.hpp"

namespace prune_adapters::cuda {

// Four bytes of bits, and zeros after the last.
__device__ __forceinline__ unsigned word_at(const std::uint8_t* bits, Index byte, Index n_bytes) {
    if (byte + 4 <= n_bytes && reinterpret_cast<std::uintptr_t>(bits + byte) % 4 == 0)
        return *reinterpret_cast<const unsigned*>(bits + byte);
    unsigned found = 0;
    for (int k = 0; k < 4 && byte + k < n_bytes; ++k) found |= static_cast<unsigned>(bits[byte + k]) << 8 * k;
    return found;
}

__device__ __forceinline__ bool has_bit(const std::uint8_t* bits, Index element) {
    return bits[element / 8] >> element % 8 & 1;
}

}  // namespace prune_adapters::cuda
