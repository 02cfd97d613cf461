// Products with blocks of bfloat16.
#include "block_types.cuh"

namespace prune_adapters::cuda {

PRUNE_ADAPTERS_BLOCK_TYPE(, __nv_bfloat16)

}  // namespace prune_adapters::cuda
