// The convolution kernels with vectors of 128 bits, which the compiler makes of what the processor surely has.
#include "conv_loops.hpp"

namespace prune_adapters {

const ConvTable conv_generic = conv_table_of<16>("generic");

}  // namespace prune_adapters
