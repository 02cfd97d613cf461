// What CUDA adds to C++: keywords, the vector types and the built-in variables.
#pragma once

#include <cstddef>
#include <cstdint>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) alignas(n)

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;

using cudaStream_t = void*;

#define PRUNE_ADAPTERS_VECTORS(T, name)                                              \
    struct alignas(2 * sizeof(T)) name##2 {                                          \
        T x, y;                                                                      \
    };                                                                               \
    struct alignas(4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16) name##4 {                \
        T x, y, z, w;                                                                \
    };                                                                               \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }                       \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
PRUNE_ADAPTERS_VECTORS(float, float)
PRUNE_ADAPTERS_VECTORS(double, double)
PRUNE_ADAPTERS_VECTORS(int, int)
PRUNE_ADAPTERS_VECTORS(unsigned, uint)
PRUNE_ADAPTERS_VECTORS(short, short)
PRUNE_ADAPTERS_VECTORS(unsigned short, ushort)
#undef PRUNE_ADAPTERS_VECTORS
