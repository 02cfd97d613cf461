// What the selection asks of its arguments, on any device.
#pragma once

#include "../elements.hpp"
#include "arguments.hpp"
#include "mask_arguments.hpp"

namespace prune_adapters {

using netgraph::Element;

// Of kth_largest and keep_largest. They own what torch has passed, whatever is wrong with it.
struct SelectionArguments {
    std::vector<torch::OwnTensor> tensors, candidates;
    Index k;
    bool magnitude;
    Element element = Element::float32;

    explicit SelectionArguments(const torch::Value* stack)
        : tensors(torch::take_tensors(stack[0])),
          candidates(torch::take_tensors(stack[1])),
          k(static_cast<Index>(stack[2])),
          magnitude(static_cast<bool>(stack[3])) {}

    // Whether all tensors are where here(tensor) says, of one float dtype and, as the bits, in one piece each.
    template <class Here>
    bool fit(const Here& here) {
        if (tensors.empty() || (!candidates.empty() && candidates.size() != tensors.size())) return false;
        if (k < 0 || !is_float(tensors[0].dtype(), element)) return false;
        for (std::size_t i = 0; i < tensors.size(); ++i) {
            const torch::OwnTensor& own = tensors[i];
            if (!here(own) || own.dtype() != tensors[0].dtype() || !own.is_contiguous()) return false;
            if (!candidates.empty() && !(here(candidates[i]) && are_bits(candidates[i], own.numel()))) return false;
        }
        return true;
    }

    // Of tensor i: a bit for each element that says whether it competes, or nullptr: all do.
    const std::uint8_t* bits(std::size_t i) const {
        return candidates.empty() ? nullptr : static_cast<const std::uint8_t*>(candidates[i].data());
    }
};

}  // namespace prune_adapters
