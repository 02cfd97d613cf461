// The band-stop mask with vectors of 128 bits, which the compiler makes of what any processor has.
#include "soft_loops.hpp"

namespace prune_adapters {

const SoftKernels soft_generic = soft_of<16>("generic");

}  // namespace prune_adapters
