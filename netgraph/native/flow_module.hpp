// The part of netgraph._native that sums over paths.
#pragma once

#include <nanobind/nanobind.h>

namespace netgraph {

void define_flow(nanobind::module_& module);

}  // namespace netgraph
