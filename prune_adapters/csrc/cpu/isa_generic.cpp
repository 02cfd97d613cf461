// The kernels with vectors of 128 bits, which the compiler makes of what the processor surely has.
#include "loops.hpp"

namespace prune_adapters {

const Kernels kernels_generic = table_of<Vectors<16>>("generic");

}  // namespace prune_adapters
