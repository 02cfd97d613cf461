// The structure of a graph, compiled once: where units, rows and masks lie, and what enters which layer.
//
// Units are one bit each; every layer starts a word of its own, so the unit vectors have gaps. A connection is wide if
// its rows start words of their own, else (rows under 32 bits) its rows follow each other without gaps.
#pragma once

#include <vector>

#include "bits.hpp"

namespace netgraph {

constexpr Index narrow_width = 32;  // netgraph.bits.PACKED_WIDTH
constexpr Index padding = 8;        // words: masks and sums are read in whole vectors

struct Layer {
    Index units, first_unit, first_word;
    bool product;
    std::vector<Index> weighted, wiring;  // what enters it
    Index first_factor = 0;               // products: word where the flags of factor 0 begin
    std::vector<Index> factors;           // products: the numbers of its factors
};

// Shared by both kinds of connection: a range of source bits and a range of target bits in the unit vectors.
struct Span {
    Index source_layer, target_layer;
    Index source_bit, target_bit;  // position of the first unit in a unit vector
    Index source_unit, target_unit;
};

struct Weighted : Span {
    Index rows, columns, taps, groups, group_rows;
    Index first_word, first_mask;  // in the bits of the graph; in the masks of the plan

    bool narrow() const { return columns * taps < narrow_width; }
    Index width() const { return columns * taps; }
    Index row_words() const { return words_for(width()); }
    Index group_of(Index row) const { return groups == 1 ? 0 : row / group_rows; }
    Index group_mask_words() const { return (row_words() + padding - 1) / padding * padding; }
};

struct Wire : Span {
    Index groups, fan_in, fan_out, factor;
    Index first_pair, n_pairs;  // first_pair < 0: blocks

    bool has_pairs() const { return first_pair >= 0; }
};

// Columns of the tables that Python passes, in this order; see netgraph/plan.py.
enum class WeightedColumn { source, target, source_start, target_start, rows, columns, taps, groups, count };
enum class WireColumn {
    source, target, source_start, target_start, groups, fan_in, fan_out, factor, pair, pairs, count
};

struct Plan {
    std::vector<Layer> layers;
    std::vector<Weighted> weighted;
    std::vector<Wire> wiring;
    std::vector<std::int32_t> pair_source, pair_target;
    std::vector<Word> inputs, outputs;  // unit vectors
    Index n_units = 0, unit_words = 0, bit_words = 0, mask_words = 0, factor_words = 0;
    bool cyclic = false;

    // Words of the longest temporary of a pass over one connection.
    Index scratch_words = 0;

    void add_layers(const Index* sizes, const bool* product, Index count);
    void add_weighted(const Index* table, Index count);
    void add_wiring(const Index* table, Index count, const std::int32_t* pairs, Index n_pairs);
    void mark_units(std::vector<Word>& vector, const Index* units, Index count) const;

   private:
    Span span_of(Index source, Index target, Index source_start, Index target_start) const;
    void reserve_scratch(Index bits);
};

}  // namespace netgraph
