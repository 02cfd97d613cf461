#include "search_module.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "anneal.hpp"
#include "cayley.hpp"
#include "lifts.hpp"
#include "two_hops.hpp"

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

Cayley cayley_of(const Array<const Cayley::Cell, 2>& cells, int) {
    return {cells.data(), static_cast<Index>(cells.size())};
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
    define<Cayley>(module, "Cayley", &cayley_of);
    module.def("swap_edges", &swap_edges, "cells"_a.noconvert(), "moves"_a, "tries"_a, "random"_a,
               "Make up to `moves` random double edge swaps in `tries`; return how many were made.");
}

}  // namespace netgraph
