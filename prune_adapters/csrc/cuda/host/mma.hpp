// Products of small matrices on tensor cores, with the fragments of the PTX manual: which lane holds which element.
//
// Lane = 4 group + turn. D (16 x 8) += A (16 x k) B (k x 8), summed in float.
#pragma once

#include "intrinsics.hpp"

namespace prune_adapters::host {

struct Fragments {
    std::uint32_t a[4], b[2];
};

// element(a, row, k) and element(b, k, column) find an operand in the registers of the lanes.
template <int depth, class A, class B>
void multiply(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], int line, const A& a_at,
              const B& b_at) {
    Fragments own{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    const int lane = block.lane();
    exchange(~0u, own, line, [&] {
        Fragments all[32];
        for (int other = 0; other < 32; ++other) all[other] = block.shown_by<Fragments>(other);
        for (int i = 0; i < 4; ++i) {
            const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
            float sum = 0;
            for (int k = 0; k < depth; ++k) sum += a_at(all, row, k) * b_at(all, k, column);
            d[i] += sum;
        }
        return true;
    });
}

inline float half_of(std::uint32_t pair, int which, __nv_bfloat16) {
    return __bfloat162float({static_cast<std::uint16_t>(pair >> 16 * which)});
}
inline float half_of(std::uint32_t pair, int which, __half) {
    return __half2float({static_cast<std::uint16_t>(pair >> 16 * which)});
}
inline float tf32_of(std::uint32_t bits) { return __uint_as_float(bits & ~0x1fffu); }

}  // namespace prune_adapters::host

namespace prune_adapters::cuda {

// mma.m16n8k16: T is __nv_bfloat16 or __half, two in a register, the lower bits first.
template <class T>
void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], int line = __builtin_LINE()) {
    using host::Fragments;
    host::multiply<16>(
        d, a, b, line,
        [](const Fragments* all, int row, int k) {
            return host::half_of(all[row % 8 * 4 + k % 8 / 2].a[row / 8 + k / 8 * 2], k % 2, T{});
        },
        [](const Fragments* all, int k, int column) {
            return host::half_of(all[column * 4 + k % 8 / 2].b[k / 8], k % 2, T{});
        });
}

// mma.m16n8k8 on floats of which the low 13 bits are not looked at.
inline void mma_m16n8k8_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                             int line = __builtin_LINE()) {
    using host::Fragments;
    host::multiply<8>(
        d, a, b, line,
        [](const Fragments* all, int row, int k) {
            return host::tf32_of(all[row % 8 * 4 + k % 4].a[row / 8 + k / 4 * 2]);
        },
        [](const Fragments* all, int k, int column) { return host::tf32_of(all[column * 4 + k % 4].b[k / 4]); });
}

// The nearest float that tf32 holds, ties away from 0.
inline std::uint32_t to_tf32(float value) {
    const std::uint32_t bits = __float_as_uint(value);
    return std::isfinite(value) ? (bits + 0x1000) & ~0x1fffu : bits;
}

// ldmatrix: four 8 x 8 matrices of 16-bit elements; lane 8 i + r gives the address of row r of matrix i. It reads that
// row when it comes, so that what other lanes have yet to write shows.
template <bool transposed>
void load_matrices(std::uint32_t (&found)[4], const void* row, int line = __builtin_LINE()) {
    using Row = std::array<std::uint16_t, 8>;
    if (reinterpret_cast<std::uintptr_t>(row) % 16)
        throw std::runtime_error("load_matrices: rows begin at multiples of 16 bytes");
    Row own;
    std::memcpy(own.data(), row, sizeof own);
    const int lane = host::block.lane();
    host::exchange(~0u, own, line, [&] {
        for (int i = 0; i < 4; ++i) {
            std::uint32_t pair[2];
            for (int k = 0; k < 2; ++k) {
                const int r = transposed ? lane % 4 * 2 + k : lane / 4, c = transposed ? lane / 4 : lane % 4 * 2 + k;
                pair[k] = host::block.shown_by<Row>(8 * i + r)[static_cast<std::size_t>(c)];
            }
            found[i] = pair[0] | pair[1] << 16;
        }
        return true;
    });
}

}  // namespace prune_adapters::cuda
