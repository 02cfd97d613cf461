// The convolution kernels with 256-bit vectors; compiled with -mavx2 -mfma.
#include "conv_loops.hpp"

namespace prune_adapters {

const ConvTable conv_avx2 = conv_table_of<32>("avx2");

}  // namespace prune_adapters
