// The loops of a selection with vectors of 256 bits; compiled with the flags of avx2.
#include "rank_loops.hpp"

namespace prune_adapters {

const RankKernels ranks_avx2 = ranks_of<32>("avx2");

}  // namespace prune_adapters
