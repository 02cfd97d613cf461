// Products with blocks of float16.
#include "block_types.cuh"

namespace prune_adapters::cuda {

PRUNE_ADAPTERS_BLOCK_TYPE(, __half)

}  // namespace prune_adapters::cuda
