// Work for the threads of torch.
#pragma once

#include "tensors.hpp"

namespace prune_adapters {

// function(begin, end) for parts of [0, count) of at least `grain`; all of it here where torch is not bound (in tests).
template <class Function>
void in_parallel(Index count, Index grain, const Function& function) {
    if (count <= 0) return;
    if (!torch::api.parallel_for) return function(Index{0}, count);
    const auto part = [](torch::Size begin, torch::Size end, void* context) {
        (*static_cast<const Function*>(context))(Index{begin}, Index{end});
    };
    void* context = const_cast<void*>(static_cast<const void*>(&function));
    torch::check(torch::api.parallel_for(0, count, grain, part, context), "parallel_for");
}

}  // namespace prune_adapters
