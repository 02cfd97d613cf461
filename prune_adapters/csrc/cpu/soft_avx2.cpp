// The band-stop mask with vectors of 256 bits; compiled with the flags of avx2.
#include "soft_loops.hpp"

namespace prune_adapters {

const SoftKernels soft_avx2 = soft_of<32>("avx2");

}  // namespace prune_adapters
