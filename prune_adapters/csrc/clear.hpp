// Elements without a bit become 0, in tensors of any layout.
#pragma once

#include <vector>

#include "kernels.hpp"

namespace prune_adapters {

// Elements that follow each other in memory, and their bits.
struct Run {
    char* values;
    const std::uint8_t* bits;
    Index count;
    int log_size;  // of an element, in bytes
};

// All runs, on the threads of torch. They share no memory.
void clear_runs(std::vector<Run> runs);

// Elements that lie anywhere, one by one in the order of their indices; `strides` counts elements.
void clear_strided(const Run& run, Index dim, const Index* sizes, const Index* strides);

}  // namespace prune_adapters
