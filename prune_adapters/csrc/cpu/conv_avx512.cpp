// The convolution kernels with 512-bit vectors.
#include "conv_loops.hpp"

namespace prune_adapters {

const ConvTable conv_avx512 = conv_table_of<64>("avx512");

}  // namespace prune_adapters
