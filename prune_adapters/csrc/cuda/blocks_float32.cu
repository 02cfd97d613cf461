// Products with blocks of float32.
#include "block_types.cuh"

namespace prune_adapters::cuda {

PRUNE_ADAPTERS_BLOCK_TYPE(, float)

}  // namespace prune_adapters::cuda
