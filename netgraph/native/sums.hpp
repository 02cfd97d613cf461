// Sums over the edges of one connection: path counts from bits, path norms from weights.
#pragma once

#include <vector>

#include "bits.hpp"

namespace netgraph {

// One weighted connection, as netgraph.Connection has it.
struct Rows {
    Index rows, columns, taps, groups;
    const Word* bits;

    Index width() const { return columns * taps; }
    bool narrow() const;
    Index words() const;  // of all rows
};

// Loops over the kept elements of one row. `words` holds its bits; none is set beyond its width.
struct SumKernels {
    const char* name;
    // The sum of at[k] over kept k.
    double (*count)(const Word* words, Index width, const double* at);
    // at[k] += y for kept k.
    void (*scatter)(const Word* words, Index width, double y, double* at);
    // The sum of |w[k]|^power at[k] over kept k.
    double (*dot[2])(const Word* words, Index width, const void* w, int power, const double* at);
    // at[k] += |w[k]|^power y for kept k.
    void (*axpy[2])(const Word* words, Index width, const void* w, int power, double y, double* at);
    // out[k] = |w[k]|^power at[k] y for kept k, 0 for the others.
    void (*share[2])(const Word* words, Index width, const void* w, int power, double y, const double* at, void* out);
};

extern const SumKernels sums_generic;
#ifdef NETGRAPH_X86
extern const SumKernels sums_avx512;
#endif

// The values of a connection in the order of its bits: float32 (kind 0) or float64 (kind 1); no data: factors of 1.
struct Factors {
    const void* data;
    int kind, power;

    const void* row(Index element) const {
        return static_cast<const char*>(data) + element * (kind ? sizeof(double) : sizeof(float));
    }
};

// One bit for each pair of units, rows as those of a connection with one tap.
void fold_taps(const Rows& rows, Word* pairs);

// Without factors the rows have one tap.
void sum_along(const Rows& rows, const Factors& factors, const double* sources, double* targets);
void sum_against(const Rows& rows, const Factors& factors, const double* targets, double* sources);
void weight_shares(const Rows& rows, const Factors& factors, const double* sources, const double* targets, void* out);

}  // namespace netgraph
