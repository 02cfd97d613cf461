// Exact selection among the elements of many tensors on CUDA: nothing is joined or sorted, and the host does not wait.
#pragma once

#include "../select.hpp"
#include "kernels.hpp"

namespace prune_adapters::cuda {

// Where the bits of the elements that are kept go is `kept`; nullptr where only the bound is asked for.
struct Ranked {
    const void* values;
    const std::uint8_t* bits;
    std::uint8_t* kept;
    Index count;
};

// Bytes of memory on the device that the functions below work in, 8-byte aligned.
Index selection_bytes(const std::vector<Ranked>& tensors);

// *bound = the k-th largest: infinity of k = 0, -infinity where fewer compete, NaN where one of them is NaN.
void kth_largest(Element element, const std::vector<Ranked>& tensors, Index k, bool magnitude, void* work, void* bound,
                 Stream stream);

// The bits of the largest, after kth_largest with the same arguments and memory; see prune_adapters::Selection.
void mark_largest(Element element, const std::vector<Ranked>& tensors, bool magnitude, void* work, Stream stream);

}  // namespace prune_adapters::cuda
