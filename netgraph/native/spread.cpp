#include "spread.hpp"

#include <algorithm>
#include <vector>

#include "kernels.hpp"

namespace netgraph {
namespace {

constexpr Index together = 64 * spread_words;

// Searches from up to 512 sources at a time. Calls met(first source of those, hops, rows before, rows after, how many
// bits came) after every step that reaches something, `before` being nullptr for the sources themselves.
template <class Met>
void spread(const Index* offsets, const std::int32_t* targets, Index nodes, const Index* sources, Index n_sources,
            Met met) {
    std::vector<Word> from(nodes * spread_words), to(from.size());
    for (Index first = 0; first < n_sources; first += together) {
        const Index now = std::min(together, n_sources - first);
        std::fill(from.begin(), from.end(), 0);
        for (Index i = 0; i < now; ++i) set_bit(from.data() + sources[first + i] * spread_words, i);
        met(first, 0, nullptr, from.data(), now);
        Index reached = now;
        for (Index hops = 1; reached < now * nodes; ++hops) {
            const Index more = kernels().hops.spread(offsets, targets, nodes, from.data(), to.data());
            if (more == reached) break;
            met(first, hops, from.data(), to.data(), more - reached);
            reached = more;
            from.swap(to);
        }
    }
}

}  // namespace

Index spread_all(const Index* offsets, const std::int32_t* targets, Index nodes, const Index* sources, Index n_sources,
                 Index* counts) {
    Index most = 0;
    spread(offsets, targets, nodes, sources, n_sources, [&](Index, Index hops, const Word*, const Word*, Index came) {
        counts[hops] += came;
        most = std::max(most, hops);
    });
    return most;
}

void spread_lengths(const Index* offsets, const std::int32_t* targets, Index nodes, const Index* sources,
                    Index n_sources, std::int32_t* lengths) {
    std::fill_n(lengths, nodes * n_sources, -1);
    const auto write = [&](Index first, Index hops, const Word* before, const Word* after, Index) {
        for (Index v = 0; v < nodes; ++v)
            for (Index w = 0; w < spread_words; ++w) {
                const Index at = v * spread_words + w;
                std::int32_t* row = lengths + v * n_sources + first + 64 * w;
                for (Word came = after[at] & ~(before ? before[at] : 0); came; came &= came - 1)
                    row[__builtin_ctzll(came)] = static_cast<std::int32_t>(hops);
            }
    };
    spread(offsets, targets, nodes, sources, n_sources, write);
}

}  // namespace netgraph
