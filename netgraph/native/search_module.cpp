#include "search_module.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "anneal.hpp"
#include "kernels.hpp"
#include "lifts.hpp"
#include "spread.hpp"
#include "two_hops.hpp"
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

SwapTable table_of(const Array<const Node, 2>& cells) {
    const Index nodes = static_cast<Index>(cells.shape(0)), degree = static_cast<Index>(cells.shape(1));
    require(nodes <= most_nodes, "cells: expected at most 65536 nodes");
    for (std::size_t i = 0; i < cells.size(); ++i) require(cells.data()[i] < nodes, "cells: a neighbour is no node");
    return {cells.data(), nodes, degree};
}

Swaps swaps_of(const Array<const Node, 2>& cells, int) { return Swaps(table_of(cells)); }

TwoHops two_hops_of(const Array<const Node, 2>& cells, int cycles) {
    require(static_cast<Index>(cells.shape(1)) <= TwoHops::most_degree, "cells: expected a degree of at most 127");
    return {table_of(cells), cycles != 0};
}

Lifts lifts_of(const Array<const Arc, 2>& cells, int group) {
    require(group == 4 || group == 8 || group == 16 || group == 32 || group == 64,
            "group: expected 4, 8, 16, 32 or 64");
    const Index rows = static_cast<Index>(cells.shape(0));
    require(rows * group <= most_nodes, "cells: expected at most 65536 nodes");
    for (std::size_t i = 0; i < cells.size(); ++i)
        require((cells.data()[i] >> 8) < rows && static_cast<int>(cells.data()[i] & 0xff) < group,
                "cells: an arc leads to no node");
    return {cells.data(), rows, static_cast<Index>(cells.shape(1)), group};
}

template <class Cell>
void copy_out(const std::vector<Cell>& cells, const Array<Cell, 2>& out) {
    require(cells.size() == out.size(), "out: expected the shape of the cells");
    std::copy(cells.begin(), cells.end(), out.data());
}

template <class Model>
void define(nb::module_& module, const char* name,
            Model (*model_of)(const Array<const typename Model::Cell, 2>&, int)) {
    using Chain = Annealer<Model>;
    using Cell = typename Model::Cell;
    using Cells = Array<const Cell, 2>;
    nb::class_<Chain>(module, name)
        .def(
            "__init__",
            [model_of](Chain* self, const Cells& cells, int option, Word random) {
                new (self) Chain(model_of(cells, option), random);
            },
            "cells"_a.noconvert(), "option"_a, "random"_a)
        .def(
            "restore",
            [](Chain& self, const Cells& cells, Index best, Index accepted, bool at_best) {
                require(cells.size() == self.model.cells().size(), "cells: expected as many as at the start");
                self.restore({cells.data(), cells.data() + cells.size()}, best, accepted, at_best);
            },
            "cells"_a.noconvert(), "best"_a, "accepted"_a, "at_best"_a)
        .def("run", &Chain::run, "steps"_a, "temperature"_a, "enough"_a, nb::call_guard<nb::gil_scoped_release>())
        .def("rise", &Chain::rise, "count"_a, nb::call_guard<nb::gil_scoped_release>())
        .def(
            "evaluate",
            [](Chain& self, Index times) {
                Index found = 0;
                for (Index i = 0; i < times; ++i) found = self.model.energy(never);
                return found;
            },
            "times"_a, nb::call_guard<nb::gil_scoped_release>())
        .def(
            "cells", [](Chain& self, const Array<Cell, 2>& out) { copy_out(self.model.cells(), out); },
            "out"_a.noconvert())
        .def(
            "best_cells", [](Chain& self, const Array<Cell, 2>& out) { copy_out(self.best_seen(), out); },
            "out"_a.noconvert())
        .def_prop_ro("random", [](const Chain& self) { return self.random.state; })
        .def_ro("energy", &Chain::energy)
        .def_ro("best", &Chain::best)
        .def_ro("accepted", &Chain::accepted)
        .def_ro("at_best", &Chain::at_best);
}

Index count_hops(const Array<const Index>& offsets, const Array<const std::int32_t>& targets,
                 const Array<const Index>& sources, const Array<Index>& counts) {
    const Index nodes = static_cast<Index>(offsets.size()) - 1;
    require(nodes >= 0 && offsets.data()[nodes] == static_cast<Index>(targets.size()), "offsets: do not fit targets");
    require(static_cast<Index>(counts.size()) >= nodes, "counts: expected one for each node");
    for (std::size_t i = 0; i < sources.size(); ++i)
        require(sources.data()[i] >= 0 && sources.data()[i] < nodes, "sources: one is no node");
    nb::gil_scoped_release unlocked;
    return spread_all(offsets.data(), targets.data(), nodes, sources.data(), static_cast<Index>(sources.size()),
                      counts.data());
}

void count_unit_hops(const Plan& plan, const Array<const Word>& bits, const Array<const Index>& sources,
                     const Array<const bool>& wanted, bool undirected, const Array<Index>& counts) {
    require(static_cast<Index>(bits.size()) == plan.bit_words, "bits: expected those of the plan");
    require(static_cast<Index>(wanted.size()) == plan.n_units, "wanted: expected one for each unit");
    require(static_cast<Index>(counts.size()) > plan.n_units, "counts: expected one more than units");
    for (std::size_t i = 0; i < sources.size(); ++i)
        require(sources.data()[i] >= 0 && sources.data()[i] < plan.n_units, "sources: one is no unit");
    nb::gil_scoped_release unlocked;
    UnitHops(plan, bits.data(), undirected)
        .count(sources.data(), static_cast<Index>(sources.size()),
               reinterpret_cast<const std::uint8_t*>(wanted.data()), counts.data());
}

// Swaps edges of the cells, at most `moves` times in `tries`; returns how many swaps were made.
Index swap_edges(const Array<Node, 2>& cells, Index moves, Index tries, Word random) {
    SwapTable table = table_of(Array<const Node, 2>(cells));
    nb::gil_scoped_release unlocked;
    Random numbers{random};
    Swap swap;
    Index made = 0;
    for (; made < moves && tries > 0; --tries) {
        if (!table.draw(numbers, swap, 1)) continue;
        SwapTable::apply(swap, table.cells);
        ++made;
    }
    std::copy(table.cells.begin(), table.cells.end(), cells.data());
    return made;
}

}  // namespace

void define_search(nb::module_& module) {
    define<Swaps>(module, "Swaps", &swaps_of);
    define<TwoHops>(module, "TwoHops", &two_hops_of);
    define<Lifts>(module, "Lifts", &lifts_of);
    module.def("count_unit_hops", &count_unit_hops, "plan"_a, "bits"_a, "sources"_a, "wanted"_a, "undirected"_a,
               "counts"_a.noconvert(), "Add to counts[k] the pairs of a source and another wanted unit k hops apart.");
    module.def("swap_edges", &swap_edges, "cells"_a.noconvert(), "moves"_a, "tries"_a, "random"_a,
               "Make up to `moves` random double edge swaps in `tries`; return how many were made.");
    module.def("count_hops", &count_hops, "offsets"_a, "targets"_a, "sources"_a, "counts"_a.noconvert(),
               "Add to counts[k] the nodes that are k hops from a source, for each source; return the largest k.");
}

}  // namespace netgraph
