// Reach kept up to date element by element, exact for deletes and inserts as long as the graph has no cycle.
//
// Each unit counts what comes from live sources and what leads to passing targets, elements and fixed edges apart. A
// unit is live if it is an input, or open (its gate) and fed; it is co-accessible if it is an output or leads on; it
// passes if it is co-accessible and open. When a count meets 0 the unit flips and the counts of its neighbours follow.
//
// Products are counted like sums: exact where no factor can become zero, which the caller has to know.
#pragma once

#include <vector>

#include "plan.hpp"

namespace netgraph {

class Counters {
   public:
    // `bits` are kept and changed in place; `live` and `co` come from a sweep over them. One byte a unit.
    Counters(const Plan& plan, Word* bits, const std::uint8_t* gate, const std::uint8_t* live, const std::uint8_t* co);

    // Keep or remove elements of one connection, given by their place in the order of its bits. An element that is in
    // the wanted state already is left alone.
    void change(Index connection, const Index* elements, Index count, bool keep);

    void write(std::uint8_t* live, std::uint8_t* co) const;
    Index consistent() const { return consistent_; }

   private:
    struct Unit {
        std::int32_t elements_in = 0, fixed_in = 0;    // from live sources
        std::int32_t elements_out = 0, fixed_out = 0;  // to passing targets
        std::int32_t layer = 0;
        bool live = false, co = false, open = true;
        bool input : 1, output : 1;

        bool fed() const { return input || (open && elements_in + fixed_in > 0); }
        bool leads() const { return output || elements_out + fixed_out > 0; }
        bool passes() const { return co && open; }
        bool settled() const { return live == fed() && co == leads(); }
    };
    using Count = std::int32_t Unit::*;

    struct Place {
        Index bit, row, in_row, source, target;  // bit: in the words of the graph
    };
    // Units joined by explicit pairs: those of unit u are `units[first[u]]` up to `units[first[u + 1]]`.
    struct Adjacency {
        std::vector<Index> first, units;
    };

    void set_up_units(const std::uint8_t* gate, const std::uint8_t* live, const std::uint8_t* co);
    void count_edges();
    Adjacency adjacency(const Wire& c, bool forward) const;

    Place place_of(const Weighted& c, Index element) const;
    void flip(Index connection, const Place& place);
    void settle();
    void set_live(Index unit, bool live);
    void set_co(Index unit, bool co);
    void add(Index unit, Count count, int step);

    // Call f(unit, is the edge fixed) for each element or fixed edge.
    template <class F>
    void for_targets(Index unit, F f);
    template <class F>
    void for_sources(Index unit, F f) const;
    template <class F>
    void for_row(const Weighted& c, Index row, F f) const;
    const Word* transposed(Index connection);

    const Plan& plan_;
    Word* bits_;
    std::vector<Unit> units_;
    std::vector<std::vector<Index>> weighted_out_, wiring_out_;  // of each layer; those into it are in the plan
    std::vector<Adjacency> targets_, sources_;                   // of each wiring with pairs
    std::vector<std::vector<Word>> transposed_;                  // of each connection, made when first needed
    std::vector<Index> unsettled_;
    Index consistent_ = 0;
};

}  // namespace netgraph
