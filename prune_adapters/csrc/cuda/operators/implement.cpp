// Gives torch the kernels of every family.
#include "operators.hpp"

namespace prune_adapters::cuda {

void implement_operators(const Registry& cuda) {
    implement_masks(cuda);
    implement_linear(cuda);
    implement_blocks(cuda);
    implement_conv(cuda);
    implement_threshold(cuda);
    implement_band_stop(cuda);
    implement_reach(cuda);
}

}  // namespace prune_adapters::cuda
