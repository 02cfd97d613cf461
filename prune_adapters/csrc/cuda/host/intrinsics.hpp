// Barriers, exchanges between the lanes of a warp, atomics and bit tricks, with the names of CUDA.
//
// Barriers know their line, so that threads that wait at different ones are told apart.
#pragma once

#include <algorithm>
#include <cmath>

#include "block.hpp"
#include "small_floats.hpp"

using std::exp;
using std::expm1;
using std::max;
using std::min;

inline void __syncthreads(int line = __builtin_LINE()) {
    prune_adapters::host::block.wait(prune_adapters::host::State::at_block_barrier, ~0u, line);
}
inline void __syncwarp(unsigned lanes = ~0u, int line = __builtin_LINE()) {
    prune_adapters::host::block.wait(prune_adapters::host::State::at_warp_barrier, lanes, line);
}

namespace prune_adapters::host {

// What `read` makes of the values of all lanes; no lane goes on before all have read.
template <class T, class Read>
auto exchange(unsigned lanes, const T& value, int line, const Read& read) {
    block.show(value);
    __syncwarp(lanes, line);
    const auto found = read();
    __syncwarp(lanes, line);
    return found;
}

template <class T>
T from_lane(unsigned lanes, T value, int source, int line) {
    if (!(lanes >> source & 1)) throw std::runtime_error("a shuffle from a lane that takes no part");
    return exchange(lanes, value, line, [&] { return block.shown_by<T>(source); });
}

}  // namespace prune_adapters::host

template <class T>
T __shfl_sync(unsigned lanes, T value, int source, int width = 32, int line = __builtin_LINE()) {
    const int own = prune_adapters::host::block.lane();
    return prune_adapters::host::from_lane(lanes, value, own / width * width + (source & (width - 1)), line);
}
template <class T>
T __shfl_xor_sync(unsigned lanes, T value, int mask, int width = 32, int line = __builtin_LINE()) {
    const int own = prune_adapters::host::block.lane(), source = own ^ mask;
    return prune_adapters::host::from_lane(lanes, value, source / width > own / width ? own : source, line);
}
template <class T>
T __shfl_down_sync(unsigned lanes, T value, int by, int width = 32, int line = __builtin_LINE()) {
    const int own = prune_adapters::host::block.lane(), source = own + by;
    return prune_adapters::host::from_lane(lanes, value, source / width != own / width ? own : source, line);
}
template <class T>
T __shfl_up_sync(unsigned lanes, T value, int by, int width = 32, int line = __builtin_LINE()) {
    const int own = prune_adapters::host::block.lane(), source = own - own / width * width - by;
    return prune_adapters::host::from_lane(lanes, value, source < 0 ? own : own - by, line);
}
inline unsigned __ballot_sync(unsigned lanes, int predicate, int line = __builtin_LINE()) {
    return prune_adapters::host::exchange(lanes, predicate, line, [&] {
        unsigned found = 0;
        for (int lane = 0; lane < 32; ++lane)
            if (lanes >> lane & 1 && prune_adapters::host::block.has(lane))
                found |= static_cast<unsigned>(prune_adapters::host::block.shown_by<int>(lane) != 0) << lane;
        return found;
    });
}
inline int __any_sync(unsigned lanes, int predicate, int line = __builtin_LINE()) {
    return __ballot_sync(lanes, predicate, line) != 0;
}
inline int __all_sync(unsigned lanes, int predicate, int line = __builtin_LINE()) {
    return __ballot_sync(lanes, !predicate, line) == 0;
}

// Fibers give way at barriers only, so what one does between two of them is atomic.
template <class T>
T atomicAdd(T* at, T value) {
    const T before = *at;
    *at = before + value;
    return before;
}
template <class T>
T atomicMax(T* at, T value) {
    const T before = *at;
    *at = std::max(before, value);
    return before;
}
template <class T>
T atomicMin(T* at, T value) {
    const T before = *at;
    *at = std::min(before, value);
    return before;
}
template <class T>
T atomicOr(T* at, T value) {
    const T before = *at;
    *at = before | value;
    return before;
}
template <class T>
T atomicCAS(T* at, T expected, T value) {
    const T before = *at;
    if (before == expected) *at = value;
    return before;
}
inline void __threadfence() {}

template <class T>
T __ldg(const T* at) {
    return *at;
}
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __popcll(unsigned long long bits) { return __builtin_popcountll(bits); }
inline int __ffs(unsigned bits) { return __builtin_ffs(static_cast<int>(bits)); }
inline int __ffsll(unsigned long long bits) { return __builtin_ffsll(static_cast<long long>(bits)); }
inline int __clz(unsigned bits) { return bits ? __builtin_clz(bits) : 32; }
inline int __clzll(unsigned long long bits) { return bits ? __builtin_clzll(bits) : 64; }
