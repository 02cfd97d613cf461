// The kernels of the linear operators with 512-bit vectors; compiled with -mavx512{f,bw,vl,dq} -mfma.
#include "linear.hpp"

namespace prune_adapters {

const LinearKernels linear_avx512 = linear_table<64>("avx512");

}  // namespace prune_adapters
