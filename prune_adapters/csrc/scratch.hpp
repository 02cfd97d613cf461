// Memory that a thread keeps from call to call.
#pragma once

#include <cstdlib>
#include <new>

#include "netgraph/native/bits.hpp"

namespace prune_adapters {

using netgraph::Index;

// Room for `count` elements, whose values are arbitrary, until the same thread asks again for the same purpose.
// Vectors lie in it as they do in the cache: it begins where a line begins.
template <class T, int purpose>
T* scratch(Index count) {
    struct Room {
        void* memory = nullptr;
        std::size_t size = 0;
        ~Room() { std::free(memory); }
    };
    static thread_local Room room;
    const std::size_t line = 64, size = (static_cast<std::size_t>(count) * sizeof(T) / line + 1) * line;
    if (room.size < size) {
        std::free(room.memory);
        room.size = 0;
        room.memory = std::aligned_alloc(line, size);
        if (!room.memory) throw std::bad_alloc();
        room.size = size;
    }
    return static_cast<T*>(room.memory);
}

}  // namespace prune_adapters
