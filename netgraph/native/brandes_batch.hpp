// Brandes' method as a template. Everything has internal linkage, as in rows.hpp.
//
// Lengths are found for 64 sources together and give a word for each edge: for which of them it lies on a shortest path.
// Numbers take eight times the room, so they follow for a `Lanes::Mask` of sources at a time, whose numbers stay in the
// cache. Both passes gather: forward from the sources of the edges into a unit, backward from the targets of the edges
// out of it, so that the numbers of that unit stay in registers.
#pragma once

#include <vector>

#include "brandes.hpp"

namespace netgraph {
namespace {

constexpr int n_lanes = 64;

// The state of one batch of sources; units before the first source are never touched. A Length holds the longest path.
template <class Lanes, class Length>
class Batch {
   public:
    Batch(const SortedEdges& edges, const OutEdges& out, const std::uint8_t* goals, double* found)
        : edges_(edges), out_(out), goals_(goals), found_(found), lengths_(edges.units * n_lanes), own_(edges.units),
          reached_(edges.units), into_(edges.count() * parts), out_of_(edges.count() * parts),
          paths_(edges.units * width), weights_(edges.units * width) {}

    void run(Sources sources) {
        first_ = *std::min_element(sources.units, sources.units + sources.count);
        std::fill(lengths_.begin() + first_ * n_lanes, lengths_.end(), no_path);
        std::fill(own_.begin() + first_, own_.end(), Word{0});
        for (Index s = 0; s < sources.count; ++s) {
            lengths_[sources.units[s] * n_lanes + s] = 0;
            own_[sources.units[s]] |= Word{1} << s;
        }
        for (Index u = first_; u < edges_.units; ++u)
            if (reach(u)) mark(u);
        for (Index part = 0; part * width < sources.count; ++part) {
            for (Index u = first_; u < edges_.units; ++u)
                if (reached_[u]) count(u, part);
            for (Index u = edges_.units - 1; u >= first_; --u)
                if (reached_[u]) settle(u, part);
        }
    }

   private:
    using Mask = typename Lanes::Mask;
    using Numbers = typename Lanes::Numbers;
    using Lengths = typename Lanes::template Lengths<Length>;
    static constexpr Index width = 8 * sizeof(Mask), parts = n_lanes / width;
    static constexpr Length no_path = static_cast<Length>(~Length{0});  // stays what it is when a hop is added

    bool followed(Index source) const { return source >= first_ && reached_[source]; }

    // Find the lengths of a unit; whether there are any.
    bool reach(Index unit) {
        Length* own = &lengths_[unit * n_lanes];
        Lengths lengths(own);
        for (Index e = edges_.starts[unit]; e < edges_.starts[unit + 1]; ++e)
            if (const Index source = edges_.sources[e]; followed(source))
                lengths.nearer(&lengths_[source * n_lanes], static_cast<Length>(edges_.hops[e]));
        lengths.store(own);
        reached_[unit] = lengths.reached() != 0;
        return reached_[unit];
    }

    // Note for which sources each edge into a unit is on a shortest path.
    void mark(Index unit) {
        const Lengths lengths(&lengths_[unit * n_lanes]);
        const Word reached = lengths.reached();
        for (Index e = edges_.starts[unit]; e < edges_.starts[unit + 1]; ++e) {
            const Index source = edges_.sources[e];
            Word tight = 0;
            if (followed(source))
                tight = reached & lengths.attained(&lengths_[source * n_lanes], static_cast<Length>(edges_.hops[e]));
            for (Index part = 0; part < parts; ++part)
                into_[e * parts + part] = out_of_[out_.rank[e] * parts + part] = static_cast<Mask>(tight >> part * width);
        }
    }

    // Count the shortest paths to a unit.
    void count(Index unit, Index part) {
        Numbers paths = Lanes::ones(static_cast<Mask>(own_[unit] >> part * width));
        for (Index e = edges_.starts[unit]; e < edges_.starts[unit + 1]; ++e)
            if (const Mask& tight = into_[e * parts + part]; tight)
                Lanes::add(paths, &paths_[edges_.sources[e] * width], tight);
        Lanes::store(&paths_[unit * width], paths);
    }

    // Find the betweenness of the edges out of a unit. The weight of a unit is what each path to the source of an edge
    // into it adds to that edge: the paths to goals that go on from here, each over the number of all with its ends.
    void settle(Index unit, Index part) {
        const Numbers paths = Lanes::load(&paths_[unit * width]);
        Numbers weight = Lanes::ones(0);
        for (Index e = out_.starts[unit]; e < out_.starts[unit + 1]; ++e)
            if (const Mask& tight = out_of_[e * parts + part]; tight)
                found_[e] += Lanes::gather(weight, paths, &weights_[out_.targets[e] * width], tight);
        if (goals_[unit]) Lanes::add_inverse(weight, paths);
        Lanes::store(&weights_[unit * width], weight);
    }

    const SortedEdges& edges_;
    const OutEdges& out_;
    const std::uint8_t* goals_;
    double* found_;
    std::vector<Length> lengths_;
    std::vector<Word> own_;  // which sources a unit is
    std::vector<std::uint8_t> reached_;
    std::vector<Mask> into_, out_of_;  // for each edge, in both orders: the sources with a shortest path along it
    std::vector<double> paths_, weights_;
    Index first_ = 0;
};

template <class Lanes, class Length>
void run_batches(const SortedEdges& edges, const OutEdges& out, Sources sources, const std::uint8_t* goals,
                 double* found) {
    Batch<Lanes, Length> batch(edges, out, goals, found);
    for (Index s = 0; s < sources.count; s += n_lanes)
        batch.run({sources.units + s, std::min<Index>(n_lanes, sources.count - s)});
}

template <class Lanes>
void run_all(const SortedEdges& edges, const OutEdges& out, bool deep, Sources sources, const std::uint8_t* goals,
             double* found) {
    if (deep) return run_batches<Lanes, std::uint16_t>(edges, out, sources, goals, found);
    run_batches<Lanes, std::uint8_t>(edges, out, sources, goals, found);
}

}  // namespace
}  // namespace netgraph
