// What went wrong in a launch.
#include <stdexcept>
#include <string>

#include "device.cuh"
#include "kernels.hpp"

namespace prune_adapters::cuda {

void check_launch(const char* function) {
    const cudaError_t error = cudaGetLastError();
    if (error == cudaSuccess) return;
    throw std::runtime_error(std::string("prune_adapters::") + function + ": CUDA could not run it: " +
                             cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")");
}

}  // namespace prune_adapters::cuda
