// The band-stop mask on CUDA; see prune_adapters/ops/band_stop.py.
#pragma once

#include "kernels.hpp"

namespace prune_adapters::cuda {

// A number on the device, a float or a double.
struct DeviceNumber {
    const void* at;
    bool is_double;
};

// masked = w psi(w), mask = psi(w).
void band_stop(Number number, const void* weight, DeviceNumber threshold, DeviceNumber sharpness, Index count,
               void* masked, void* mask, Stream stream);

// result = grad * d masked / dw + grad_mask * d mask / dw; nullptr stands for a gradient of zeros.
void band_stop_backward(Number number, const void* grad, const void* grad_mask, const void* weight,
                        DeviceNumber threshold, DeviceNumber sharpness, Index count, void* result, Stream stream);

}  // namespace prune_adapters::cuda
