// Work cut into parts for the threads of torch; in tests without torch, one part after the other.
#pragma once

#include "tensors.hpp"

namespace prune_adapters {

// Calls work(begin, end) until all numbers from 0 to `count` have been covered; a thread takes at least `grain`.
template <class F>
void in_parallel(torch::Size count, torch::Size grain, const F& work) {
    if (!torch::api.parallel_for) return work(torch::Size{0}, count);
    const auto call = [](torch::Size begin, torch::Size end, void* context) {
        (*static_cast<const F*>(context))(begin, end);
    };
    torch::check(torch::api.parallel_for(0, count, grain, call, const_cast<F*>(&work)), "parallel_for");
}

}  // namespace prune_adapters
