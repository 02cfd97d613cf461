// Numbers of 16 bits as they lie in memory.
#pragma once

#include <cstdint>

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

}  // namespace prune_adapters
