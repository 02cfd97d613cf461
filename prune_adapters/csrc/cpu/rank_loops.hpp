// Templates of the loops of a selection, on vectors of `bytes` bytes in the compiler's own notation. Everything has
// internal linkage: code compiled for one instruction set must never be linked in for another.
#pragma once

#include <cstring>

#include "../ranks.hpp"

namespace prune_adapters {
namespace {

template <class Signed, Signed largest>
struct Format {
    using Integer = Signed;
    static constexpr Signed infinity = largest;
    static constexpr int sign_shift = 8 * sizeof(Signed) - 1;
    static constexpr Signed magnitude = static_cast<Signed>(~(std::uint64_t{1} << sign_shift));
};
using Float64 = Format<std::int64_t, 0x7ff0000000000000>;
using Float32 = Format<std::int32_t, 0x7f800000>;
using Float16 = Format<std::int16_t, 0x7c00>;
using BFloat16 = Format<std::int16_t, 0x7f80>;

// What is done with a vector of keys, and with a single one: the same source serves both.
template <class F, bool by_magnitude>
struct Keys {
    template <class T>
    static T size(T bits) {
        return bits & F::magnitude;
    }
    template <class T>
    static T of(T bits) {
        if constexpr (by_magnitude) return size(bits);
        const T sign = bits >> F::sign_shift;  // all ones for a negative element
        return (size(bits) ^ sign) - sign;
    }
};

template <class F, int bytes>
struct KeyLanes {
    using Integer = typename F::Integer;
    static constexpr int count = bytes / static_cast<int>(sizeof(Integer));
    typedef Integer Vector __attribute__((vector_size(bytes)));
    typedef std::uint8_t Flags __attribute__((vector_size(count)));

    static Vector fill(Key key) {
        Vector all;
        for (int k = 0; k < count; ++k) all[k] = static_cast<Integer>(key);
        return all;
    }
    static Vector load(const Integer* at) {
        Vector value;
        std::memcpy(&value, at, bytes);
        return value;
    }
    static Index sum(Vector value) {
        Index all = 0;
        for (int k = 0; k < count; ++k) all += value[k];
        return all;
    }
};

template <class F, bool by_magnitude, int bytes, bool flagged>
Tally tally_all(const typename F::Integer* at, const std::uint8_t* flags, Index count, Key low, Key high) {
    using L = KeyLanes<F, bytes>;
    using K = Keys<F, by_magnitude>;
    typename L::Vector above{}, inside{}, nan{};
    const auto least = L::fill(low), most = L::fill(high);
    const auto infinity = L::fill(F::infinity);
    Index k = 0;
    for (; k + L::count <= count; k += L::count) {
        const auto bits = L::load(at + k);
        const auto key = K::of(bits);
        typename L::Vector own = ~typename L::Vector{};
        if constexpr (flagged) {
            typename L::Flags bytes_of;
            std::memcpy(&bytes_of, flags + k, sizeof bytes_of);
            own = -__builtin_convertvector(bytes_of, typename L::Vector);
        }
        above -= (key > most) & own;  // a comparison is 0 or -1
        inside -= (key >= least) & (key <= most) & own;
        nan -= (K::size(bits) > infinity) & own;
    }
    Tally found{L::sum(above), L::sum(inside), L::sum(nan)};
    for (; k < count; ++k) {
        if (flagged && !flags[k]) continue;
        const Key key = K::of(at[k]);
        found.above += key > high;
        found.inside += key >= low && key <= high;
        found.nan += K::size(at[k]) > F::infinity;
    }
    return found;
}

template <class F, bool by_magnitude, int bytes>
Tally tally(const void* values, const std::uint8_t* flags, Index count, Key low, Key high) {
    const auto* at = static_cast<const typename F::Integer*>(values);
    return flags ? tally_all<F, by_magnitude, bytes, true>(at, flags, count, low, high)
                 : tally_all<F, by_magnitude, bytes, false>(at, flags, count, low, high);
}

template <class F, bool by_magnitude, int bytes>
void mark(const void* values, Index count, Key low, Key high, std::uint8_t* flags) {
    using L = KeyLanes<F, bytes>;
    using K = Keys<F, by_magnitude>;
    const auto* at = static_cast<const typename F::Integer*>(values);
    const auto least = L::fill(low), most = L::fill(high);
    Index k = 0;
    for (; k + L::count <= count; k += L::count) {
        const auto key = K::of(L::load(at + k));
        const auto found = (key >= least) & (key <= most);
        const auto one_byte = __builtin_convertvector(found, typename L::Flags) & 1;
        std::memcpy(flags + k, &one_byte, sizeof one_byte);
    }
    for (; k < count; ++k) {
        const Key key = K::of(at[k]);
        flags[k] = key >= low && key <= high;
    }
}

template <int bytes>
constexpr RankKernels ranks_of(const char* name) {
    return {name,
            {{tally<Float64, false, bytes>, tally<Float64, true, bytes>},
             {tally<Float32, false, bytes>, tally<Float32, true, bytes>},
             {tally<Float16, false, bytes>, tally<Float16, true, bytes>},
             {tally<BFloat16, false, bytes>, tally<BFloat16, true, bytes>}},
            {{mark<Float64, false, bytes>, mark<Float64, true, bytes>},
             {mark<Float32, false, bytes>, mark<Float32, true, bytes>},
             {mark<Float16, false, bytes>, mark<Float16, true, bytes>},
             {mark<BFloat16, false, bytes>, mark<BFloat16, true, bytes>}}};
}

}  // namespace
}  // namespace prune_adapters
