// Gives torch the kernels of every family.
#include "operators.hpp"

namespace prune_adapters {

void implement_operators() {
    const Registry cpu("CPU");
    implement_masks(cpu);
    implement_linear(cpu);
}

}  // namespace prune_adapters
