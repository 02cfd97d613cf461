// Sums over the edges of one connection: path counts from bits, path norms from weights.
#pragma once

#include <memory>
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
    // How many bits are set.
    Index (*kept)(const Word* words, Index count);
    // Write the numbers of the kept elements and return how many there are; there is room for `spare` more.
    Index (*list)(const Word* words, Index width, std::int32_t* places);
    // The sum of at[k] over kept k.
    double (*count)(const Word* words, Index width, const double* at);
    // at[k] += y for kept k.
    void (*scatter)(const Word* words, Index width, double y, double* at);
    // The sum of |w[k]|^power at[k] over kept k.
    double (*dot[2])(const Word* words, Index width, const void* w, int power, const double* at);
    // at[k] += |w[k]|^power y for kept k.
    void (*axpy[2])(const Word* words, Index width, const void* w, int power, double y, double* at);
    // out[k] = |w[k]|^power at[k] y for kept k; the others are 0 before and after.
    void (*share[2])(const Word* words, Index width, const void* w, int power, double y, const double* at, void* out);
};

constexpr Index spare = 4;

extern const SumKernels sums_generic;
#ifdef NETGRAPH_X86
extern const SumKernels sums_avx2;
extern const SumKernels sums_avx512;
#endif

// The values of a connection in the order of its bits: float32 (kind 0) or float64 (kind 1); no data: factors of 1.
struct Factors {
    const void* data;
    int kind, power;

    Index bytes() const { return kind ? sizeof(double) : sizeof(float); }
    const void* row(Index element) const { return static_cast<const char*>(data) + element * bytes(); }
};

// A connection ready for a pass forward and one backward. Where few elements are kept they are listed, with the sizes of
// their weights, so that bits and weights are read once for both; else rows are read in whole vectors, twice.
class EdgeSums {
   public:
    EdgeSums(const Rows& rows, const Factors& factors);

    // targets[r] = the sum of factor times source over the edges into row r.
    void along(const double* sources, double* targets) const;
    // sources[c] += the sum of factor times target over the edges out of c.
    void against(const double* targets, double* sources) const;

   private:
    bool listed() const { return columns_ != nullptr; }
    void list(Index kept);
    void fold();

    Rows rows_;
    Factors factors_;
    std::vector<Word> pairs_;  // counts: one bit for each pair of units
    // For each row the columns of its kept elements, or for counts of its pairs, and the sizes of their weights.
    std::vector<Index> starts_;
    std::unique_ptr<std::int32_t[]> columns_;
    std::unique_ptr<double[]> sizes_;
};

// out = factor times source times target of each element, 0 where it is not kept. `fresh`: it holds zeros.
void weight_shares(const Rows& rows, const Factors& factors, const double* sources, const double* targets, bool fresh,
                   void* out);

}  // namespace netgraph
