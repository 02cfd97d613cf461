// The band-stop mask with vectors of 512 bits; compiled with the flags of avx512.
#include "soft_loops.hpp"

namespace prune_adapters {

const SoftKernels soft_avx512 = soft_of<64>("avx512");

}  // namespace prune_adapters
