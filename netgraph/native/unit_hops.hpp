// How many units lie how many weighted edges from given units of a network; fixed wiring costs nothing.
//
// Breadth-first search from up to 512 units of one layer at a time, a bit each. A layer takes part in a step only if
// something new has come to it, so that a search from one layer does not touch the layers before it.
#pragma once

#include <vector>

#include "hops.hpp"
#include "plan.hpp"
#include "swaps.hpp"

namespace netgraph {

class UnitHops {
public:
    UnitHops(const Plan& plan, const Word* bits, bool undirected);

    // Adds to counts[k], k < n_counts, the pairs of a source and another, wanted unit that are k hops apart. Sources of
    // one layer should follow each other.
    void count(const Index* sources, Index n_sources, const std::uint8_t* wanted, Index* counts);

    // Adds to pairs[i] how many wanted units other than itself source i reaches, and to hops[i] how far these are in all.
    void count_each(const Index* sources, Index n_sources, const std::uint8_t* wanted, Index* hops, Index* pairs);

private:
    // Edges by target: the sources of row r are sources[offsets[r]] ... ; units count from the first of the network.
    struct Edges {
        Index source_layer, target_layer, first_target;
        std::vector<Index> offsets;
        std::vector<std::int32_t> sources;
    };
    struct Wires {
        Index source_layer, target_layer, source, target, groups, fan_in, fan_out;
        Index first_pair, n_pairs;
        bool backwards;
    };

    void add_edges(const Weighted& connection, const Word* bits);
    void add_wires(const Wire& wire, bool backwards);
    void add_reverse(const Edges& edges);
    Index layer_of(Index unit) const;
    static const Word* row(const Scratch& rows, Index unit) { return rows.words() + unit * spread_words; }
    static Word* row(Scratch& rows, Index unit) { return rows.words() + unit * spread_words; }

    void clear();
    void touch(Index layer);
    template <class Reached>
    void search(const Index* sources, Index n_sources, const std::uint8_t* wanted, Reached reached);
    bool step();
    void follow_wiring();
    bool follow(const Wires& wires);
    bool bring(const Word* bits, Index stride, Index unit, Index units);
    Index settle(const std::uint8_t* wanted);
    void tally(const std::uint8_t* wanted, Index* each) const;

    const Plan& plan_;
    bool to_fixed_point_;
    std::vector<Edges> edges_;
    std::vector<Wires> wires_;
    Scratch seen_, front_, next_;
    std::vector<std::uint8_t> active_, coming_, touched_;  // a flag a layer
    Word full_[spread_words] = {};
};

}  // namespace netgraph
