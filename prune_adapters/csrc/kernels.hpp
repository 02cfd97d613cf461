// The kernels of the operators, one table of them for each instruction set.
#pragma once

#include "netgraph/native/bits.hpp"

namespace prune_adapters {

using netgraph::Index;
using netgraph::Word;

constexpr int n_sizes = 5;  // elements of 1 << 0 .. 1 << 4 bytes

struct Kernels {
    const char* name;

    // clear[s]: elements of 1 << s bytes become 0 where their bit is 0; bit k of byte j belongs to element 8 j + k.
    void (*clear[n_sizes])(void* values, const std::uint8_t* bits, Index count);
};

extern const Kernels kernels_generic;
#ifdef NETGRAPH_X86
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
#endif

// The fastest table that this processor runs, or the one that `use_kernels` has chosen.
const Kernels& kernels();

// Choose a table by name, here, for the other operators and in netgraph's kernels; false if this build or this processor has none of that name.
bool use_kernels(const char* name);

// One byte a flag (0 or 1) to one bit a flag and back; the bits after the last flag are 0.
void pack(const std::uint8_t* flags, Index count, std::uint8_t* bits);
void unpack(const std::uint8_t* bits, Index count, std::uint8_t* flags);

}  // namespace prune_adapters
