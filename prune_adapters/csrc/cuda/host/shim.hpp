// CUDA on this processor: kernels compile with g++ and run on fibers, for tests on machines without a GPU.
//
// It says nothing about speed, and little about the order in which writes become visible to other threads without a
// barrier. What it does find: block.hpp.
#pragma once

#include "block.hpp"
#include "copies.hpp"
#include "intrinsics.hpp"
#include "language.hpp"
#include "mma.hpp"
#include "small_floats.hpp"

#define PRUNE_ADAPTERS_SHARED(T, name) \
    static char name##_key;             \
    T& name = *static_cast<T*>(prune_adapters::host::block.shared(&name##_key, sizeof(T)))
#define PRUNE_ADAPTERS_DYNAMIC_SHARED(T, name) \
    T* name = static_cast<T*>(prune_adapters::host::block.dynamic_shared())

namespace prune_adapters::cuda {

using host::launch;

}  // namespace prune_adapters::cuda
