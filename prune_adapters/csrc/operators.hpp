// The kernels of the operators for tensors on the CPU, as torch calls them.
#pragma once

namespace prune_adapters {

// Give torch the kernels; Python has defined the operators. Called once, after torch::bind.
void implement_operators();

}  // namespace prune_adapters
