#include "hops_module.hpp"

#include <nanobind/ndarray.h>

#include <stdexcept>

#include "breadth_first.hpp"
#include "spread.hpp"
#include "unit_hops.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace netgraph {
namespace {

template <class T, std::size_t N = 1>
using Array = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;

void require(bool holds, const char* message) {
    if (!holds) throw std::invalid_argument(message);
}

// The sizes fit; what `check_edges` looks at is still to be checked.
Successors successors_of(const Array<const Index>& offsets, const Array<const std::int32_t>& targets,
                         const Array<const Index>& sources) {
    const Index nodes = static_cast<Index>(offsets.size()) - 1, n_targets = static_cast<Index>(targets.size());
    require(nodes >= 0 && offsets.data()[nodes] == n_targets, "offsets: do not fit targets");
    for (std::size_t i = 0; i < sources.size(); ++i)
        require(sources.data()[i] >= 0 && sources.data()[i] < nodes, "sources: one is no node");
    return {offsets.data(), targets.data(), nodes, n_targets};
}

void check_edges(const Successors& graph) {
    Index falls = graph.offsets[0] < 0, strangers = 0;
    for (Index v = 0; v < graph.nodes; ++v) falls |= graph.offsets[v] > graph.offsets[v + 1];
    require(!falls, "offsets: do not fit targets");
    for (Index e = 0; e < graph.n_targets; ++e) strangers |= graph.targets[e] < 0 || graph.targets[e] >= graph.nodes;
    require(!strangers, "targets: one is no node");
}

Index count_hops(const Array<const Index>& offsets, const Array<const std::int32_t>& targets,
                 const Array<const Index>& sources, const Array<Index>& counts) {
    const Successors graph = successors_of(offsets, targets, sources);
    require(static_cast<Index>(counts.size()) >= graph.nodes, "counts: expected one for each node");
    check_edges(graph);
    nb::gil_scoped_release unlocked;
    return spread_all(graph.offsets, graph.targets, graph.nodes, sources.data(), static_cast<Index>(sources.size()),
                      counts.data());
}

void write_hops(const Array<const Index>& offsets, const Array<const std::int32_t>& targets,
                const Array<const Index>& sources, const Array<std::int32_t, 2>& lengths) {
    const Successors graph = successors_of(offsets, targets, sources);
    const Index n_sources = static_cast<Index>(sources.size());
    require(static_cast<Index>(lengths.shape(0)) == graph.nodes && static_cast<Index>(lengths.shape(1)) == n_sources,
            "lengths: expected a row for each node, a column for each source");
    check_edges(graph);
    nb::gil_scoped_release unlocked;
    spread_lengths(graph.offsets, graph.targets, graph.nodes, sources.data(), n_sources, lengths.data());
}

void breadth_first(const Array<const Index>& offsets, const Array<const std::int32_t>& targets,
                   const Array<const Index>& sources, Index most, const Array<std::int32_t, 2>& order,
                   const Array<std::int32_t, 2>& hops, const Array<Index>& met) {
    const Successors graph = successors_of(offsets, targets, sources);
    const Index n_sources = static_cast<Index>(sources.size());
    for (const auto* rows : {&order, &hops})
        require(static_cast<Index>(rows->shape(0)) == n_sources && static_cast<Index>(rows->shape(1)) == graph.nodes,
                "order, hops: expected a row for each source, a place for each node");
    require(static_cast<Index>(met.size()) == n_sources, "met: expected one for each source");
    nb::gil_scoped_release unlocked;
    BreadthFirst search(graph);
    for (Index i = 0; i < n_sources; ++i)
        met.data()[i] =
            search.from(sources.data()[i], most, order.data() + i * graph.nodes, hops.data() + i * graph.nodes);
}

void check_units(const Plan& plan, const Array<const Word>& bits, const Array<const Index>& sources,
                 const Array<const bool>& wanted) {
    require(static_cast<Index>(bits.size()) == plan.bit_words, "bits: expected those of the plan");
    require(static_cast<Index>(wanted.size()) == plan.n_units, "wanted: expected one for each unit");
    for (std::size_t i = 0; i < sources.size(); ++i)
        require(sources.data()[i] >= 0 && sources.data()[i] < plan.n_units, "sources: one is no unit");
}

void count_unit_hops(const Plan& plan, const Array<const Word>& bits, const Array<const Index>& sources,
                     const Array<const bool>& wanted, bool undirected, const Array<Index>& counts) {
    check_units(plan, bits, sources, wanted);
    require(static_cast<Index>(counts.size()) > plan.n_units, "counts: expected one more than units");
    nb::gil_scoped_release unlocked;
    UnitHops(plan, bits.data(), undirected)
        .count(sources.data(), static_cast<Index>(sources.size()),
               reinterpret_cast<const std::uint8_t*>(wanted.data()), counts.data());
}

void count_each_unit_hops(const Plan& plan, const Array<const Word>& bits, const Array<const Index>& sources,
                          const Array<const bool>& wanted, bool undirected, const Array<Index>& hops,
                          const Array<Index>& pairs) {
    check_units(plan, bits, sources, wanted);
    require(hops.size() == sources.size() && pairs.size() == sources.size(), "hops, pairs: expected one a source");
    nb::gil_scoped_release unlocked;
    UnitHops(plan, bits.data(), undirected)
        .count_each(sources.data(), static_cast<Index>(sources.size()),
                    reinterpret_cast<const std::uint8_t*>(wanted.data()), hops.data(), pairs.data());
}

}  // namespace

void define_hops(nb::module_& module) {
    module.def("count_hops", &count_hops, "offsets"_a, "targets"_a, "sources"_a, "counts"_a.noconvert(),
               "Add to counts[k] the nodes that are k hops from a source, for each source; return the largest k.");
    module.def("write_hops", &write_hops, "offsets"_a, "targets"_a, "sources"_a, "lengths"_a.noconvert(),
               "Write the hops from each source (columns) to each node (rows), -1 without a path.");
    module.def("breadth_first", &breadth_first, "offsets"_a, "targets"_a, "sources"_a, "most"_a, "order"_a.noconvert(),
               "hops"_a.noconvert(), "met"_a.noconvert(),
               "Write the nodes within `most` hops of each source as a search meets them, how far, and how many.");
    module.def("count_unit_hops", &count_unit_hops, "plan"_a, "bits"_a, "sources"_a, "wanted"_a, "undirected"_a,
               "counts"_a.noconvert(), "Add to counts[k] the pairs of a source and another wanted unit k hops apart.");
    module.def("count_each_unit_hops", &count_each_unit_hops, "plan"_a, "bits"_a, "sources"_a, "wanted"_a,
               "undirected"_a, "hops"_a.noconvert(), "pairs"_a.noconvert(),
               "Add for each source the other wanted units that it reaches and their hops in all.");
}

}  // namespace netgraph
