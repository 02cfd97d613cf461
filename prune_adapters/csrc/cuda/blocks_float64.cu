// Products with blocks of float64.
#include "block_types.cuh"

namespace prune_adapters::cuda {

PRUNE_ADAPTERS_BLOCK_TYPE(, double)

}  // namespace prune_adapters::cuda
