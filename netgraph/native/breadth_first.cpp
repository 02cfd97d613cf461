#include "breadth_first.hpp"

#include <stdexcept>

namespace netgraph {

Index BreadthFirst::from(Index source, Index most, std::int32_t* order, std::int32_t* hops) {
    const Index search = searches_++;
    Index met = 0;
    const auto meet = [&](Index node, Index far) {
        met_by_[node] = search;
        order[met] = static_cast<std::int32_t>(node);
        hops[met++] = static_cast<std::int32_t>(far);
    };
    meet(source, 0);
    // Once all nodes are met the rest of the edges has nothing to tell: in dense graphs that is most of them.
    for (Index i = 0; i < met && met < graph_.nodes && hops[i] < most; ++i) {
        const Index first = graph_.offsets[order[i]], last = graph_.offsets[order[i] + 1];
        if (first < 0 || last > graph_.n_targets) throw std::invalid_argument("offsets: do not fit targets");
        for (Index e = first; e < last; ++e) {
            const Index node = graph_.targets[e];
            if (node < 0 || node >= graph_.nodes) throw std::invalid_argument("targets: one is no node");
            if (met_by_[node] != search) meet(node, hops[i] + 1);
        }
    }
    return met;
}

}  // namespace netgraph
