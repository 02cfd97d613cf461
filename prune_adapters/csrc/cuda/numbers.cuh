// The dtypes of values: what they are summed in, and how they are read and written.
#pragma once

#include "device.cuh"
#include "kernels.hpp"

namespace prune_adapters::cuda {

template <class T>
struct SumOf {
    using type = float;
};
template <>
struct SumOf<double> {
    using type = double;
};
template <class T>
using Sum = typename SumOf<T>::type;

__device__ __forceinline__ float wide(float value) { return value; }
__device__ __forceinline__ double wide(double value) { return value; }
__device__ __forceinline__ float wide(__half value) { return __half2float(value); }
__device__ __forceinline__ float wide(__nv_bfloat16 value) { return __bfloat162float(value); }

template <class T>
__device__ __forceinline__ T narrow(Sum<T> value) {
    return value;
}
template <>
__device__ __forceinline__ __half narrow<__half>(float value) {
    return __float2half(value);
}
template <>
__device__ __forceinline__ __nv_bfloat16 narrow<__nv_bfloat16>(float value) {
    return __float2bfloat16(value);
}

// Call use(T{}) for the type of a number.
template <class Use>
void with_type(Number number, const Use& use) {
    switch (number) {
        case Number::float32: return use(float{});
        case Number::float64: return use(double{});
        case Number::float16: return use(__half{});
        case Number::bfloat16: return use(__nv_bfloat16{});
    }
}

template <class T>
__device__ __forceinline__ T sum_over_warp(T value) {
    for (int by = 16; by; by /= 2) value += __shfl_xor_sync(~0u, value, by);
    return value;
}

constexpr int warp_size = 32;

inline unsigned blocks_for(Index count, Index each, Index most = 0x7fffffff) {
    const Index blocks = (count + each - 1) / each;
    return static_cast<unsigned>(blocks < most ? blocks : most);
}

}  // namespace prune_adapters::cuda
