// Gives torch the kernels of every family.
#include "operators.hpp"

namespace prune_adapters {

void implement_operators() {
    const Registry cpu("CPU");
    implement_masks(cpu);
    implement_conv(cpu);
    implement_linear(cpu);
    implement_threshold(cpu);
    implement_band_stop(cpu);
    implement_reach(cpu);
}

}  // namespace prune_adapters
