// The part of netgraph._native that searches graphs and counts hops.
#pragma once

#include <nanobind/nanobind.h>

namespace netgraph {

void define_search(nanobind::module_& module);

}  // namespace netgraph
