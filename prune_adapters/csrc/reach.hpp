// One step of a sweep along a weight: which rows and columns its elements that are not 0 join to flagged ones.
#pragma once

#include <vector>

#include "netgraph/native/kernels.hpp"

namespace prune_adapters {

using netgraph::Element;
using netgraph::Index;
using netgraph::Word;

// The rows of each group see columns of their own; a column has `taps` elements in each row.
struct Shape {
    Index rows, columns, taps, groups;

    Index width() const { return columns * taps; }
    Index rows_a_group() const { return rows / groups; }
};

// A weight in memory, row by row: values of a format, or bits.
struct Edges {
    const void* data;
    bool packed;
    Element element;
    Shape shape;
};

// Flags are bytes of 0 or 1: one a row, or one a column, group after group.
void reach_targets(const Edges& edges, const std::uint8_t* live, std::uint8_t* targets);
void reach_sources(const Edges& edges, const std::uint8_t* co, std::uint8_t* sources);
Index count_consistent(const Edges& edges, const std::uint8_t* live, const std::uint8_t* co);

}  // namespace prune_adapters
