// The part of netgraph._native that counts and lists hops.
#pragma once

#include <nanobind/nanobind.h>

namespace netgraph {

void define_hops(nanobind::module_& module);

}  // namespace netgraph
