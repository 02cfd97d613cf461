// The part of netgraph._native that searches for short graphs.
#pragma once

#include <nanobind/nanobind.h>

namespace netgraph {

void define_search(nanobind::module_& module);

}  // namespace netgraph
