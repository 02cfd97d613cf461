// Brandes' method as a template. `Lanes` says what is done with the 64 lengths and the 64 numbers of a unit. Everything
// has internal linkage, as in rows.hpp.
#pragma once

#include <vector>

#include "brandes.hpp"

namespace netgraph {
namespace {

constexpr int n_lanes = 64;
constexpr std::uint16_t no_path = 0xfff0;  // leaves room to add a hop

// The state of one batch of sources; units before the first source are never touched.
template <class Lanes>
class Batch {
   public:
    Batch(const SortedEdges& edges, const std::uint8_t* goals, double* found)
        : edges_(edges), goals_(goals), found_(found), lengths_(edges.units * n_lanes),
          paths_(edges.units * n_lanes), delta_(edges.units * n_lanes), reached_(edges.units) {}

    void run(Sources sources) {
        first_ = *std::min_element(sources.units, sources.units + sources.count);
        const Index begin = first_ * n_lanes;
        std::fill(lengths_.begin() + begin, lengths_.end(), no_path);
        std::fill(paths_.begin() + begin, paths_.end(), 0.0);
        std::fill(delta_.begin() + begin, delta_.end(), 0.0);
        for (Index s = 0; s < sources.count; ++s) {
            lengths_[sources.units[s] * n_lanes + s] = 0;
            paths_[sources.units[s] * n_lanes + s] = 1;
        }
        for (Index u = first_; u < edges_.units; ++u) reach(u);
        for (Index u = edges_.units - 1; u >= first_; --u)
            if (reached_[u]) settle(u);
    }

   private:
    // Calls f(edge, first lane of its source, hops) for the edges into a unit from units that a source reaches.
    template <class F>
    void each_edge(Index unit, F&& f) {
        for (Index e = edges_.starts[unit]; e < edges_.starts[unit + 1]; ++e) {
            const Index source = edges_.sources[e];
            if (source >= first_ && reached_[source])
                f(e, source * n_lanes, static_cast<std::uint16_t>(edges_.hops[e]));
        }
    }

    void reach(Index unit) {
        auto lengths = Lanes::lengths(&lengths_[unit * n_lanes]);
        each_edge(unit, [&](Index, Index at, std::uint16_t hop) { Lanes::nearer(lengths, &lengths_[at], hop); });
        reached_[unit] = Lanes::reached(lengths) != 0;
        if (!reached_[unit]) return;
        Lanes::store(&lengths_[unit * n_lanes], lengths);
        auto paths = Lanes::numbers(&paths_[unit * n_lanes]);
        each_edge(unit, [&](Index, Index at, std::uint16_t hop) {
            const Word tight = Lanes::tight(lengths, &lengths_[at], hop);
            if (tight) Lanes::add(paths, &paths_[at], tight);
        });
        Lanes::store(&paths_[unit * n_lanes], paths);
    }

    void settle(Index unit) {
        const Index at = unit * n_lanes;
        const auto lengths = Lanes::lengths(&lengths_[at]);
        const auto weight = Lanes::ratio(&delta_[at], goals_[unit], &paths_[at], Lanes::reached(lengths));
        if (!Lanes::any(weight)) return;
        each_edge(unit, [&](Index e, Index from, std::uint16_t hop) {
            const Word tight = Lanes::tight(lengths, &lengths_[from], hop);
            if (tight) found_[e] += Lanes::pull(&delta_[from], &paths_[from], weight, tight);
        });
    }

    const SortedEdges& edges_;
    const std::uint8_t* goals_;
    double* found_;
    std::vector<std::uint16_t> lengths_;
    std::vector<double> paths_, delta_;
    std::vector<std::uint8_t> reached_;
    Index first_ = 0;
};

template <class Lanes>
void run_batches(const SortedEdges& edges, Sources sources, const std::uint8_t* goals, double* found) {
    Batch<Lanes> batch(edges, goals, found);
    for (Index s = 0; s < sources.count; s += n_lanes)
        batch.run({sources.units + s, std::min<Index>(n_lanes, sources.count - s)});
}

}  // namespace
}  // namespace netgraph
