// The operators as torch calls them for tensors on CUDA.
#pragma once

#include "../../operators/registry.hpp"

namespace prune_adapters::cuda {

void implement_masks(const Registry& cuda);
void implement_linear(const Registry& cuda);
void implement_blocks(const Registry& cuda);
void implement_conv(const Registry& cuda);
void implement_threshold(const Registry& cuda);
void implement_band_stop(const Registry& cuda);
void implement_reach(const Registry& cuda);

// Give torch all kernels. Called once, after torch::bind_devices and bind_stream.
void implement_operators(const Registry& cuda);

}  // namespace prune_adapters::cuda
