// Kernels on masks: removed elements are written, the others neither read nor written.
#include "kernels.hpp"

#include <algorithm>

#include "batch.cuh"
#include "bits.cuh"

namespace prune_adapters::cuda {
namespace {

constexpr int block_size = 256;
constexpr Index word = 32, tile = 32 * word;  // elements of a lane's bits, of a warp
constexpr Index chunk = block_size / 32 * tile;  // of a block

template <class Unit, int units>
__device__ void clear_element(void* values, Index element) {
    for (int k = 0; k < units; ++k) static_cast<Unit*>(values)[units * element + k] = 0;
}

// Each lane loads the bits of 32 elements; then the warp goes from 32 elements to the next.
template <class Unit, int units>
__device__ void clear_tile(const Run& run, Index begin) {
    const int lane = threadIdx.x % 32;
    const unsigned own = word_at(run.bits, begin / 8 + 4 * lane, (run.count + 7) / 8);
    for (int k = 0; k < 32; ++k) {
        const unsigned kept = __shfl_sync(~0u, own, k);
        const Index element = begin + word * k + lane;
        if (element < run.count && !(kept >> lane & 1)) clear_element<Unit, units>(run.values, element);
    }
}

__global__ void __launch_bounds__(block_size) clear_kernel(const __grid_constant__ Batch<Run> all) {
    const int own = item_of_block(all);
    const Run& run = all.item[own];
    const Index begin = static_cast<Index>(blockIdx.x - all.first_block[own]) * chunk + threadIdx.x / 32 * tile;
    if (begin >= run.count) return;
    switch (run.log_size) {
        case 0: return clear_tile<std::uint8_t, 1>(run, begin);
        case 1: return clear_tile<std::uint16_t, 1>(run, begin);
        case 2: return clear_tile<std::uint32_t, 1>(run, begin);
        case 3: return clear_tile<unsigned long long, 1>(run, begin);
        default: return clear_tile<unsigned long long, 2>(run, begin);
    }
}

constexpr int most_dimensions = 12;
struct Layout {
    int dim;
    Index sizes[most_dimensions], strides[most_dimensions];
};

template <class Unit, int units>
__global__ void __launch_bounds__(block_size) clear_strided_kernel(const Run run, const Layout layout) {
    const Index step = static_cast<Index>(gridDim.x) * block_size;
    for (Index element = static_cast<Index>(blockIdx.x) * block_size + threadIdx.x; element < run.count; element += step) {
        if (has_bit(run.bits, element)) continue;
        Index left = element, place = 0;
        for (int d = layout.dim - 1; d >= 0; --d) {
            place += left % layout.sizes[d] * layout.strides[d];
            left /= layout.sizes[d];
        }
        clear_element<Unit, units>(run.values, place);
    }
}

// Dimensions of size 1 left out, those that follow each other in memory as one. False if too many are left.
bool fold(Index dim, const Index* sizes, const Index* strides, Layout& layout) {
    layout.dim = 0;
    for (Index d = 0; d < dim; ++d) {
        if (sizes[d] == 1) continue;
        const int last = layout.dim - 1;
        if (last >= 0 && layout.strides[last] == strides[d] * sizes[d]) {
            layout.sizes[last] *= sizes[d];
            layout.strides[last] = strides[d];
            continue;
        }
        if (layout.dim == most_dimensions) return false;
        layout.sizes[layout.dim] = sizes[d];
        layout.strides[layout.dim++] = strides[d];
    }
    return true;
}

template <class Unit, int units>
void launch_strided(const Run& run, const Layout& layout, Stream stream) {
    const Index blocks = std::min<Index>((run.count + block_size - 1) / block_size, 1 << 20);
    launch(clear_strided_kernel<Unit, units>, dim3(static_cast<unsigned>(blocks)), dim3(block_size), 0,
           static_cast<cudaStream_t>(stream), run, layout);
}

// A thread makes a byte of eight flags.
__global__ void __launch_bounds__(block_size) pack_kernel(const std::uint8_t* flags, Index count, std::uint8_t* bits) {
    const Index byte = static_cast<Index>(blockIdx.x) * block_size + threadIdx.x;
    if (8 * byte >= count) return;
    const std::uint8_t* own = flags + 8 * byte;
    unsigned found = 0;
    if (8 * byte + 8 <= count && reinterpret_cast<std::uintptr_t>(own) % 8 == 0) {
        const uint2 eight = *reinterpret_cast<const uint2*>(own);
        for (int k = 0; k < 4; ++k) {
            found |= static_cast<unsigned>((eight.x >> 8 * k & 255) != 0) << k;
            found |= static_cast<unsigned>((eight.y >> 8 * k & 255) != 0) << (k + 4);
        }
    } else {
        for (int k = 0; k < 8 && 8 * byte + k < count; ++k) found |= static_cast<unsigned>(own[k] != 0) << k;
    }
    bits[byte] = static_cast<std::uint8_t>(found);
}

__global__ void __launch_bounds__(block_size) unpack_kernel(const std::uint8_t* bits, Index count, std::uint8_t* flags) {
    const Index byte = static_cast<Index>(blockIdx.x) * block_size + threadIdx.x;
    if (8 * byte >= count) return;
    std::uint8_t* own = flags + 8 * byte;
    const unsigned eight = bits[byte];
    if (8 * byte + 8 <= count && reinterpret_cast<std::uintptr_t>(own) % 8 == 0) {
        uint2 found = make_uint2(0, 0);
        for (int k = 0; k < 4; ++k) {
            found.x |= (eight >> k & 1) << 8 * k;
            found.y |= (eight >> (k + 4) & 1) << 8 * k;
        }
        *reinterpret_cast<uint2*>(own) = found;
    } else {
        for (int k = 0; k < 8 && 8 * byte + k < count; ++k) own[k] = eight >> k & 1;
    }
}

dim3 blocks_of_bytes(Index count) {
    return dim3(static_cast<unsigned>(((count + 7) / 8 + block_size - 1) / block_size));
}

}  // namespace

void clear_runs(const std::vector<Run>& runs, Stream stream) {
    in_batches(runs, chunk, [&](const Batch<Run>& all, unsigned blocks, Index) {
        launch(clear_kernel, dim3(blocks), dim3(block_size), 0, static_cast<cudaStream_t>(stream), all);
    });
}

bool clear_strided(const Run& run, Index dim, const Index* sizes, const Index* strides, Stream stream) {
    Layout layout;
    if (!fold(dim, sizes, strides, layout)) return false;
    if (!run.count) return true;
    switch (run.log_size) {
        case 0: launch_strided<std::uint8_t, 1>(run, layout, stream); break;
        case 1: launch_strided<std::uint16_t, 1>(run, layout, stream); break;
        case 2: launch_strided<std::uint32_t, 1>(run, layout, stream); break;
        case 3: launch_strided<unsigned long long, 1>(run, layout, stream); break;
        default: launch_strided<unsigned long long, 2>(run, layout, stream);
    }
    return true;
}

void pack(const std::uint8_t* flags, Index count, std::uint8_t* bits, Stream stream) {
    if (!count) return;
    launch(pack_kernel, blocks_of_bytes(count), dim3(block_size), 0, static_cast<cudaStream_t>(stream), flags, count, bits);
}

void unpack(const std::uint8_t* bits, Index count, std::uint8_t* flags, Stream stream) {
    if (!count) return;
    launch(unpack_kernel, blocks_of_bytes(count), dim3(block_size), 0, static_cast<cudaStream_t>(stream), bits, count,
           flags);
}

}  // namespace prune_adapters::cuda
