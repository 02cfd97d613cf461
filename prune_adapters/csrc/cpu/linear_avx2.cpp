// The kernels of the linear operators with 256-bit vectors; compiled with -mavx2 -mfma.
#include "linear.hpp"

namespace prune_adapters {

const LinearKernels linear_avx2 = linear_table<32>("avx2");

}  // namespace prune_adapters
