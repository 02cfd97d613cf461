// The operators as torch calls them: each family gives its kernels to torch, Python has defined the schemas.
#pragma once

#include "registry.hpp"

namespace prune_adapters {

void implement_masks(const Registry& cpu);
void implement_conv(const Registry& cpu);
void implement_linear(const Registry& cpu);
void implement_threshold(const Registry& cpu);
void implement_band_stop(const Registry& cpu);
void implement_reach(const Registry& cpu);

// Give torch all kernels for tensors on the CPU. Called once, after torch::bind.
void implement_operators();

}  // namespace prune_adapters
