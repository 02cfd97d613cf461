// The kernels of the linear operators with vectors of 128 bits, which the compiler makes of what the processor surely
// has.
#include "linear.hpp"

namespace prune_adapters {

const LinearKernels linear_generic = linear_table<16>("generic");

}  // namespace prune_adapters
