// What every kernel includes: CUDA, or its stand-in on this processor (host/shim.hpp), with the same names.
//
//     PRUNE_ADAPTERS_SHARED(T, name)           one T (may be an alias of an array type) in the block's shared memory
//     PRUNE_ADAPTERS_DYNAMIC_SHARED(T, name)   T* name: the memory whose size the launch gives
//     launch(kernel, grid, block, bytes, stream, arguments...)
//     copy_async, copy_commit, copy_wait, mma_*, load_matrices: see host/copies.hpp and host/mma.hpp
#pragma once

#ifdef __CUDACC__

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "primitives.cuh"

#define PRUNE_ADAPTERS_SHARED(T, name) __shared__ T name
#define PRUNE_ADAPTERS_DYNAMIC_SHARED(T, name)                            \
    extern __shared__ __align__(128) unsigned char dynamic_shared[]; \
    T* name = reinterpret_cast<T*>(dynamic_shared)

namespace prune_adapters::cuda {

// Errors stay in cudaGetLastError, which the caller asks once.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t dynamic_bytes, cudaStream_t stream,
            Arguments... arguments) {
    constexpr std::size_t always_allowed = 48 * 1024;
    if (dynamic_bytes > always_allowed)
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(dynamic_bytes));
    kernel<<<grid, block, dynamic_bytes, stream>>>(arguments...);
}

}  // namespace prune_adapters::cuda

#else

#include "host/shim.hpp"

#endif
