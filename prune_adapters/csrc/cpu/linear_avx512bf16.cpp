// The kernels of blocks of bfloat16 in pairs; compiled with -mavx512{f,bw,vl,dq,bf16} -mfma.
#include "block_pairs.hpp"

namespace prune_adapters {

const BlockKernels<Bfloat16> blocks_in_pairs = {{pack_pairs<1>, pack_pairs<2>, pack_pairs<3>},
                                                {multiply_pairs<1>, multiply_pairs<2>, multiply_pairs<3>},
                                                padded_pairs,
                                                pack_pair_group,
                                                outer_pairs};

}  // namespace prune_adapters
