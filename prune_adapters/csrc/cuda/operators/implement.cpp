// Gives torch the kernels of every family.
#include "operators.hpp"

namespace prune_adapters::cuda {

void implement_operators(const Registry& cuda) {
    implement_masks(cuda);
    implement_linear(cuda);
    implement_blocks(cuda);
}

}  // namespace prune_adapters::cuda
