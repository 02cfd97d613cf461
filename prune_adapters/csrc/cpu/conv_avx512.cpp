// The convolution kernels with 512-bit vectors; compiled with -mavx512{f,bw,vl,dq} -mfma.
#include "conv_loops.hpp"

namespace prune_adapters {

const ConvTable conv_avx512 = conv_table_of<64>("avx512");

}  // namespace prune_adapters
