// bfloat16 and half, with the names of cuda_bf16.h and cuda_fp16.h; rounding is to nearest, ties to even.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

struct __nv_bfloat16 {
    std::uint16_t bits;
};
struct __half {
    std::uint16_t bits;
};
struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};
struct alignas(4) __half2 {
    __half x, y;
};
using __nv_bfloat16_raw = __nv_bfloat16;

inline std::uint32_t __float_as_uint(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}
inline float __uint_as_float(std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
inline long long __double_as_longlong(double value) {
    long long bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}
inline double __longlong_as_double(long long bits) {
    double value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline float __bfloat162float(__nv_bfloat16 value) { return __uint_as_float(std::uint32_t{value.bits} << 16); }
inline __nv_bfloat16 __float2bfloat16(float value) {
    const std::uint32_t bits = __float_as_uint(value);
    if (std::isnan(value)) return {0x7fff};
    return {static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {__float2bfloat16(x), __float2bfloat16(y)}; }

inline float __half2float(__half value) {
    const int exponent = value.bits >> 10 & 31, fraction = value.bits & 1023;
    const float sign = value.bits >> 15 ? -1.0f : 1.0f;
    if (exponent == 31) return fraction ? NAN : sign * INFINITY;
    return sign * (exponent ? std::ldexp(1024.0f + fraction, exponent - 25) : std::ldexp(float(fraction), -24));
}
inline __half __float2half(float value) {
    const auto sign = static_cast<std::uint16_t>(__float_as_uint(value) >> 16 & 0x8000);
    const float size = std::fabs(value);
    if (std::isnan(value)) return {0x7fff};
    if (size >= 65520.0f) return {static_cast<std::uint16_t>(sign | 0x7c00)};
    int exponent = 0;
    std::frexp(size, &exponent);
    const int step = size < 0x1p-14f ? -24 : exponent - 11;  // of the last bit; the smallest numbers have no exponent
    const auto steps = static_cast<int>(std::nearbyint(std::ldexp(size, -step)));
    const int number = step == -24 ? steps : steps + (step + 24) * 1024;
    return {static_cast<std::uint16_t>(sign | number)};
}
inline __half2 __floats2half2_rn(float x, float y) { return {__float2half(x), __float2half(y)}; }
