#include "brandes.hpp"

#include <cstring>
#include <memory>
#include <vector>

#include "kernels.hpp"

namespace netgraph {
namespace {

const Lanes& lanes() {
#ifdef NETGRAPH_X86
    if (!std::strcmp(kernels().name, lanes_avx512.name)) return lanes_avx512;
#endif
    return lanes_generic;
}

// The state of one batch of sources; units before the first source are never touched.
class Batch {
   public:
    Batch(const SortedEdges& edges, const std::uint8_t* goals, double* found)
        : edges_(edges), goals_(goals), found_(found), lengths_(edges.units * brandes_lanes),
          paths_(edges.units * brandes_lanes), delta_(edges.units * brandes_lanes), reached_(edges.units) {}

    void run(const Index* sources, Index count) {
        first_ = *std::min_element(sources, sources + count);
        const Index begin = first_ * brandes_lanes;
        std::fill(lengths_.begin() + begin, lengths_.end(), no_path);
        std::fill(paths_.begin() + begin, paths_.end(), 0.0);
        std::fill(delta_.begin() + begin, delta_.end(), 0.0);
        for (Index s = 0; s < count; ++s) {
            lengths_[sources[s] * brandes_lanes + s] = 0;
            paths_[sources[s] * brandes_lanes + s] = 1;
        }
        for (Index u = first_; u < edges_.units; ++u) reach(u);
        for (Index u = edges_.units - 1; u >= first_; --u)
            if (reached_[u]) settle(u);
    }

   private:
    template <class F>
    void each_edge(Index unit, F&& visit) {
        for (Index e = edges_.starts[unit]; e < edges_.starts[unit + 1]; ++e) {
            const Index source = edges_.sources[e];
            if (source >= first_ && reached_[source])
                visit(e, source * brandes_lanes, static_cast<std::uint16_t>(edges_.hops[e]));
        }
    }

    void reach(Index unit) {
        std::uint16_t* own = &lengths_[unit * brandes_lanes];
        each_edge(unit, [&](Index, Index at, std::uint16_t hop) { lanes_.nearer(own, &lengths_[at], hop); });
        bool any = false;
        for (int l = 0; l < brandes_lanes; ++l) any |= own[l] < no_path;
        reached_[unit] = any;
        if (!any) return;
        each_edge(unit, [&](Index, Index at, std::uint16_t hop) {
            const Word mask = lanes_.tight(own, &lengths_[at], hop);
            if (mask) lanes_.add(&paths_[unit * brandes_lanes], &paths_[at], mask);
        });
    }

    void settle(Index unit) {
        const std::uint16_t* own = &lengths_[unit * brandes_lanes];
        Word there = 0;
        for (int l = 0; l < brandes_lanes; ++l) there |= Word{own[l] < no_path} << l;
        double weight[brandes_lanes];
        if (!lanes_.weigh(weight, &delta_[unit * brandes_lanes], goals_[unit], &paths_[unit * brandes_lanes], there))
            return;
        each_edge(unit, [&](Index e, Index at, std::uint16_t hop) {
            const Word mask = lanes_.tight(own, &lengths_[at], hop);
            if (mask) found_[e] += lanes_.pull(&delta_[at], &paths_[at], weight, mask);
        });
    }

    const SortedEdges& edges_;
    const std::uint8_t* goals_;
    double* found_;
    const Lanes& lanes_ = lanes();
    std::vector<std::uint16_t> lengths_;
    std::vector<double> paths_, delta_;
    std::vector<std::uint8_t> reached_;
    Index first_ = 0;
};

}  // namespace

void accumulate_betweenness(const SortedEdges& edges, const Index* sources, Index n_sources, const std::uint8_t* goals,
                            double* found) {
    Batch batch(edges, goals, found);
    for (Index s = 0; s < n_sources; s += brandes_lanes)
        batch.run(sources + s, std::min<Index>(brandes_lanes, n_sources - s));
}

}  // namespace netgraph
