// The kernels with 256-bit vectors; compiled with -mavx2.
#include "loops.hpp"

namespace prune_adapters {

const Kernels kernels_avx2 = table_of<Vectors<32>>("avx2");

}  // namespace prune_adapters
