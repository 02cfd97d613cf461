// The loops of a selection with vectors of 128 bits, which the compiler makes of what any processor has.
#include "rank_loops.hpp"

namespace prune_adapters {

const RankKernels ranks_generic = ranks_of<16>("generic");

}  // namespace prune_adapters
