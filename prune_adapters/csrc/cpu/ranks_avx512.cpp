// The loops of a selection with vectors of 512 bits; compiled with the flags of avx512.
#include "rank_loops.hpp"

namespace prune_adapters {

const RankKernels ranks_avx512 = ranks_of<64>("avx512");

}  // namespace prune_adapters
