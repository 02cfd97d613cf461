// cp.async: copies from global to shared memory that end when they are waited for, or at once (Mode::eager).
//
// Late copies show a missing wait; early ones show that a buffer is written while others still read it.
#pragma once

#include "block.hpp"

namespace prune_adapters::host {

inline void copy_now(const Copy& copy) {
    auto* target = static_cast<char*>(copy.target);
    if (copy.filled) std::memcpy(target, copy.source, static_cast<std::size_t>(copy.filled));
    std::memset(target + copy.filled, 0, static_cast<std::size_t>(copy.bytes - copy.filled));
}

}  // namespace prune_adapters::host

namespace prune_adapters::cuda {

template <int bytes>
void copy_async(void* shared, const void* global, int filled = bytes) {
    static_assert(bytes == 4 || bytes == 8 || bytes == 16);
    using namespace prune_adapters::host;
    const auto places = reinterpret_cast<std::uintptr_t>(shared) | (filled ? reinterpret_cast<std::uintptr_t>(global) : 0);
    if (places % bytes) throw std::runtime_error("copy_async: an address that is not a multiple of the size");
    if (filled < 0 || filled > bytes) throw std::runtime_error("copy_async: more bytes filled than copied");
    const Copy copy{shared, global, bytes, filled};
    if (mode.eager)
        copy_now(copy);
    else
        block.thread().copies.back().push_back(copy);
}

inline void copy_commit() { prune_adapters::host::block.thread().copies.emplace_back(); }

// Until at most the last `left` groups are under way.
template <int left>
void copy_wait() {
    auto& groups = prune_adapters::host::block.thread().copies;
    while (static_cast<int>(groups.size()) - 1 > left) {
        for (const auto& copy : groups.front()) prune_adapters::host::copy_now(copy);
        groups.erase(groups.begin());
    }
}

}  // namespace prune_adapters::cuda
