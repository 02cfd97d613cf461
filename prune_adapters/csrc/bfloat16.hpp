// Numbers of 16 bits as they lie in memory.
#pragma once

#include <cstdint>
#include <cstring>

namespace prune_adapters {

// The upper half of a float. What is computed of such numbers is computed in floats and rounded once, at the end.
struct Bfloat16 {
    std::uint16_t bits;
};

template <class Row>
struct SumsOf {
    using Type = Row;
};
template <>
struct SumsOf<Bfloat16> {
    using Type = float;
};

// In what the sums of products of numbers are taken.
template <class Row>
using SumOf = typename SumsOf<Row>::Type;

namespace {  // compiled for one instruction set, never linked in for another

// Numbers of a matrix as those that are computed with, and back: to the nearest, of two equally near ones to the even.
template <class T>
T widened(T value) {
    return value;
}
inline float widened(Bfloat16 value) {
    const std::uint32_t bits = static_cast<std::uint32_t>(value.bits) << 16;
    float wide;
    std::memcpy(&wide, &bits, sizeof wide);
    return wide;
}

template <class T>
void set(T* at, T value) {
    *at = value;
}
inline void set(Bfloat16* at, float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const std::uint32_t rounded = value == value ? bits + 0x7fff + (bits >> 16 & 1) : bits | 0x400000;
    at->bits = static_cast<std::uint16_t>(rounded >> 16);
}

}  // namespace

}  // namespace prune_adapters
