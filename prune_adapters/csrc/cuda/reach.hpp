// One step of a sweep along a weight on CUDA; see csrc/reach.hpp.
#pragma once

#include "../reach.hpp"
#include "kernels.hpp"

namespace prune_adapters::cuda {

void reach_targets(const Edges& edges, const std::uint8_t* live, std::uint8_t* targets, Stream stream);
void reach_sources(const Edges& edges, const std::uint8_t* co, std::uint8_t* sources, Stream stream);
void count_consistent(const Edges& edges, const std::uint8_t* live, const std::uint8_t* co, Index* count,
                      Stream stream);

}  // namespace prune_adapters::cuda
