#include "spread.hpp"

#include <algorithm>
#include <vector>

#include "kernels.hpp"

namespace netgraph {

Index spread_all(const Index* offsets, const std::int32_t* targets, Index nodes, const Index* sources, Index n_sources,
                 Index* counts) {
    constexpr Index together = 64 * spread_words;
    std::vector<Word> from(nodes * spread_words), to(from.size());
    Index most = 0;
    for (Index first = 0; first < n_sources; first += together) {
        const Index now = std::min(together, n_sources - first);
        std::fill(from.begin(), from.end(), 0);
        for (Index i = 0; i < now; ++i) set_bit(from.data() + sources[first + i] * spread_words, i);
        counts[0] += now;
        Index reached = now;
        for (Index hops = 1; reached < now * nodes; ++hops) {
            const Index more = kernels().hops.spread(offsets, targets, nodes, from.data(), to.data());
            if (more == reached) break;
            counts[hops] += more - reached;
            most = std::max(most, hops);
            reached = more;
            from.swap(to);
        }
    }
    return most;
}

}  // namespace netgraph
