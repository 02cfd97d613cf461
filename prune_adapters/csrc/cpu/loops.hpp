// Templates of the kernels. `Isa` clears 64 elements at a time. Everything has internal linkage: code compiled for one
// instruction set must never be linked in for another.
#pragma once

#include <cstring>

#include "../kernels.hpp"

namespace prune_adapters {
namespace {

// Blocks that are kept whole are not touched. (To write those that are removed whole without reading them would save
// nothing: the processor fetches a line before the first store to it.)
template <class Isa, int size>
void clear(void* values, const std::uint8_t* bits, Index count) {
    char* at = static_cast<char*>(values);
    Index done = 0;
    for (; done + 64 <= count; done += 64, at += 64 * size) {
        Word kept;
        std::memcpy(&kept, bits + done / 8, sizeof kept);
        if (kept != netgraph::all_ones) Isa::template clear_block<size>(at, kept);
    }
    for (; done < count; ++done, at += size)
        if (!(bits[done / 8] >> done % 8 & 1)) std::memset(at, 0, size);
}

template <int size>
struct Unsigned;
template <>
struct Unsigned<2> {
    using type = std::uint16_t;
};
template <>
struct Unsigned<4> {
    using type = std::uint32_t;
};
template <>
struct Unsigned<8> {
    using type = std::uint64_t;
};

// Vectors of `width` bytes in the compiler's own notation: a lane keeps its bits if its bit of `kept` is set.
template <int width>
struct Vectors {
    template <int size>
    static void clear_block(char* at, Word kept) {
        if constexpr (size == 1)
            for (int k = 0; k < 64; ++k) at[k] = static_cast<char>(at[k] & -static_cast<char>(kept >> k & 1));
        else
            clear_lanes<(size < 8 ? size : 8), (size < 8 ? 1 : size / 8)>(at, kept);
    }

private:
    // An element is `parts` lanes of `size` bytes.
    template <int size, int parts>
    static void clear_lanes(char* at, Word kept) {
        using Lane = typename Unsigned<size>::type;
        typedef Lane Vector __attribute__((vector_size(width)));
        typedef Word Words __attribute__((vector_size(width)));
        constexpr Word once_a_lane = netgraph::all_ones / static_cast<Lane>(-1);
        constexpr int lanes = width / size, elements = lanes / parts;
        Vector own;
        for (int k = 0; k < lanes; ++k) own[k] = static_cast<Lane>(Lane{1} << (k / parts));
        for (int k = 0; k < 64; k += elements, at += width) {
            Vector value;
            std::memcpy(&value, at, width);
            const Words copies = Words{} + static_cast<Lane>(kept >> k) * once_a_lane;
            value &= reinterpret_cast<Vector>((reinterpret_cast<Vector>(copies) & own) == own);
            std::memcpy(at, &value, width);
        }
    }
};

template <class Isa>
constexpr Kernels table_of(const char* name) {
    return {name, {clear<Isa, 1>, clear<Isa, 2>, clear<Isa, 4>, clear<Isa, 8>, clear<Isa, 16>}};
}

}  // namespace
}  // namespace prune_adapters
