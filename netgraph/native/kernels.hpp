// The loops that touch every weight or every bit, one table of them for each instruction set.
#pragma once

#include "bits.hpp"
#include "hops.hpp"

namespace netgraph {

enum class Element { float64, float32, float16, bfloat16, uint8 };
constexpr int n_elements = 5;

// Rows are `words` words apart. Row r of `wanted` and `hits` is bit r. Masks have no bit beyond the width of a row.
struct Kernels {
    const char* name;

    // hits[r] = wanted[r] and some bit of row r lies under the mask.
    void (*hit_rows)(const Word* bits, Index rows, Index words, const Word* mask, const Word* wanted, Word* hits);

    // seen |= OR of the wanted rows; returns how many of their bits lie under the mask.
    Index (*join_rows)(const Word* bits, Index rows, Index words, const Word* mask, const Word* wanted, Word* seen);

    // out = row and mask for wanted rows, 0 for the others.
    void (*restrict_rows)(const Word* bits, Index rows, Index words, const Word* mask, const Word* wanted, Word* out);

    // bits = which values are not 0; hits[r] = row r has a bit under the mask. Returns false if a value is NaN.
    bool (*pack_rows[n_elements])(const void* values, Index rows, Index width, const Word* mask, Word* bits,
                                  Word* hits);

    // OR of all bytes: the cost of reading memory once, for benchmarks.
    Word (*stream)(const void* bytes, Index count);

    // One byte a flag (0 or 1) to one bit a flag and back.
    void (*bytes_to_bits)(const std::uint8_t* bytes, Index count, Word* bits);
    void (*bits_to_bytes)(const Word* bits, Index count, std::uint8_t* bytes);

    HopKernels hops;
};

extern const Kernels kernels_generic;
#ifdef NETGRAPH_X86
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
#endif

// The fastest table that this processor runs, or the one that `use_kernels` has chosen.
const Kernels& kernels();

// Choose a table by name; false if this build or this processor has none of that name.
bool use_kernels(const char* name);

}  // namespace netgraph
