// Selection by digits: from the first to the last, a histogram over all elements that agree with the answer so far says
// what its next digit is. All that depends on values stays on the device. Atomics add integers only, in no order that
// matters.
#include "select.hpp"

#include "batch.cuh"
#include "bits.cuh"
#include "numbers.cuh"

namespace prune_adapters::cuda {
namespace {

constexpr int warps = 8, block_size = warps * warp_size;
constexpr int steps = 128;
constexpr Index tile = steps * warp_size, chunk = warps * tile;  // elements of a warp, of a block
constexpr int digit_bits = 11, n_bins = 1 << digit_bits;
constexpr int copies = 2;  // of the histogram of a block, so that fewer lanes meet in one bin

enum Kind : int { searching, key, nan, lowest, none };  // what the bound is: a key, or below or above all of them

struct State {
    unsigned long long counts[n_bins];
    unsigned long long ordinal;  // the first digits of the bound
    Index rank;                  // of the bound among the elements with these digits, from the top
    int kind, saw_nan;
};

// An element as a number without sign that grows with it: its magnitude with its sign (so that -0.0 is 0.0), moved up.
template <class Bits>
struct Order {
    static constexpr int width = 8 * sizeof(Bits);
    static constexpr Bits sign = static_cast<Bits>(Bits{1} << (width - 1));

    static __device__ __forceinline__ Bits ordinal(Bits bits, bool magnitude) {
        const Bits size = static_cast<Bits>(bits & static_cast<Bits>(~sign));
        return static_cast<Bits>(bits & sign && !magnitude ? sign - size : sign + size);
    }
    static __device__ __forceinline__ Bits bits(Bits ordinal) {
        return static_cast<Bits>(ordinal < sign ? (sign - ordinal) | sign : ordinal - sign);
    }
};

// What a warp sees of a tile: 32 elements a step.
template <class Bits>
struct Tile {
    const Ranked& tensor;
    Index begin, end;
    bool magnitude;

    __device__ __forceinline__ bool competes(Index element) const {
        return element < end && (!tensor.bits || has_bit(tensor.bits, element));
    }
    __device__ __forceinline__ Bits bits(Index element) const {
        return static_cast<const Bits*>(tensor.values)[element];
    }
    __device__ __forceinline__ Bits ordinal(Index element) const {
        return Order<Bits>::ordinal(bits(element), magnitude);
    }
};

template <class Bits>
__device__ __forceinline__ Tile<Bits> tile_of_warp(const Batch<Ranked>& all, bool magnitude) {
    const int own = item_of_block(all);
    const Ranked& tensor = all.item[own];
    const Index begin = static_cast<Index>(blockIdx.x - all.first_block[own]) * chunk + threadIdx.x / warp_size * tile;
    const Index end = begin + tile < tensor.count ? begin + tile : tensor.count;
    return {tensor, begin, end, magnitude};
}

__global__ void __launch_bounds__(block_size) begin_kernel(State* state, Index k) {
    for (int bin = threadIdx.x; bin < n_bins; bin += block_size) state->counts[bin] = 0;
    if (threadIdx.x) return;
    state->ordinal = 0;
    state->rank = k;
    state->kind = searching;
    state->saw_nan = 0;
}

// Count the digits at `shift` of the elements whose higher ones are those of the bound; `first`: there are none.
template <class Bits>
__global__ void __launch_bounds__(block_size)
    count_kernel(const __grid_constant__ Batch<Ranked> all, Bits infinity, bool magnitude, int shift, int bits,
                 bool first, State* state) {
    if (!first && state->kind != searching) return;
    using Counts = unsigned[n_bins][copies];
    PRUNE_ADAPTERS_SHARED(Counts, counts);
    for (int k = threadIdx.x; k < n_bins * copies; k += block_size) counts[k / copies][k % copies] = 0;
    __syncthreads();
    const Tile<Bits> own = tile_of_warp<Bits>(all, magnitude);
    const auto wanted = static_cast<unsigned long long>(state->ordinal);
    const int lane = threadIdx.x % warp_size;
    bool saw_nan = false;
#pragma unroll 4
    for (Index element = own.begin + lane; element < own.end; element += warp_size) {
        if (!own.competes(element)) continue;
        const Bits value = own.bits(element);
        const unsigned long long ordinal = Order<Bits>::ordinal(value, magnitude);
        saw_nan |= static_cast<Bits>(value & static_cast<Bits>(~Order<Bits>::sign)) > infinity;
        if (!first && ordinal >> (shift + bits) != wanted) continue;
        atomicAdd(&counts[ordinal >> shift & ((1u << bits) - 1)][lane % copies], 1u);
    }
    if (first && saw_nan) atomicOr(&state->saw_nan, 1);
    __syncthreads();
    for (int bin = threadIdx.x; bin < n_bins; bin += block_size) {
        unsigned long long sum = 0;
        for (int k = 0; k < copies; ++k) sum += counts[bin][k];
        if (sum) atomicAdd(&state->counts[bin], sum);
    }
}

// The next digit of the bound: that of the bin with its rank. One block.
__global__ void __launch_bounds__(block_size) pick_kernel(State* state, int bits, bool first) {
    constexpr int each = n_bins / block_size;
    using Sums = unsigned long long[block_size];
    PRUNE_ADAPTERS_SHARED(Sums, sums);
    unsigned long long own[each], sum = 0;
    for (int k = 0; k < each; ++k) {
        own[k] = state->counts[threadIdx.x * each + k];
        state->counts[threadIdx.x * each + k] = 0;
        sum += own[k];
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    unsigned long long above = 0, all = 0;
    for (int thread = 0; thread < block_size; ++thread) {
        all += sums[thread];
        if (thread > static_cast<int>(threadIdx.x)) above += sums[thread];
    }
    const Index rank = state->rank;
    const int kind = state->kind;
    const bool saw_nan = state->saw_nan;
    __syncthreads();
    if (kind != searching) return;
    if (first && (saw_nan || rank < 1 || static_cast<unsigned long long>(rank) > all)) {
        if (threadIdx.x == 0) state->kind = saw_nan ? nan : rank < 1 ? none : lowest;
        return;
    }
    const auto wanted = static_cast<unsigned long long>(rank);
    if (wanted <= above || wanted > above + sum) return;
    for (int k = each - 1; k >= 0; --k) {
        if (wanted <= above + own[k]) {
            state->ordinal = (state->ordinal << bits) + threadIdx.x * each + k;
            state->rank = static_cast<Index>(wanted - above);
            return;
        }
        above += own[k];
    }
}

template <class Bits>
__global__ void end_kernel(State* state, Bits infinity, Bits* bound) {
    if (state->kind == searching) state->kind = key;
    switch (state->kind) {
        case key: *bound = Order<Bits>::bits(static_cast<Bits>(state->ordinal)); break;
        case nan: *bound = static_cast<Bits>(infinity | infinity >> 1); break;
        case lowest: *bound = static_cast<Bits>(infinity | Order<Bits>::sign); break;
        default: *bound = infinity;
    }
}

// How many elements of each tile equal the bound.
template <class Bits>
__global__ void __launch_bounds__(block_size)
    equal_kernel(const __grid_constant__ Batch<Ranked> all, bool magnitude, Index block, const State* state,
                 Index* equal) {
    if (state->kind != key) return;
    const Tile<Bits> own = tile_of_warp<Bits>(all, magnitude);
    const Bits bound = static_cast<Bits>(state->ordinal);
    int count = 0;
    for (Index element = own.begin + threadIdx.x % warp_size; element < own.end; element += warp_size)
        count += own.competes(element) && own.ordinal(element) == bound;
    count = sum_over_warp(count);
    if (threadIdx.x % warp_size == 0) equal[(block + blockIdx.x) * warps + threadIdx.x / warp_size] = count;
}

// Of the counts of tiles, how many there are in all tiles before. One block.
__global__ void __launch_bounds__(block_size) before_kernel(const State* state, Index* counts, Index n) {
    if (state->kind != key) return;
    using Sums = Index[warps];
    PRUNE_ADAPTERS_SHARED(Sums, sums);
    const int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
    Index before = 0;
    for (Index begin = 0; begin < n; begin += block_size) {
        const Index place = begin + threadIdx.x, own = place < n ? counts[place] : 0;
        Index sum = own;
        for (int by = 1; by < warp_size; by *= 2) {
            const Index lower = __shfl_up_sync(~0u, sum, by);
            if (lane >= by) sum += lower;
        }
        if (lane == warp_size - 1) sums[warp] = sum;
        __syncthreads();
        Index all = 0;
        for (int k = 0; k < warps; ++k) {
            if (k < warp) sum += sums[k];
            all += sums[k];
        }
        if (place < n) counts[place] = before + sum - own;
        before += all;
        __syncthreads();
    }
}

// Bits of 32 elements; no byte beyond those of the tensor is written.
__device__ __forceinline__ void write_word(std::uint8_t* bits, Index first, Index count, unsigned word) {
    const int lane = threadIdx.x % warp_size;
    if (lane < 4 && first + 8 * lane < count) bits[first / 8 + lane] = static_cast<std::uint8_t>(word >> 8 * lane);
}

// What is above the bound, and the first `rank` of the elements that equal it.
template <class Bits>
__global__ void __launch_bounds__(block_size)
    mark_kernel(const __grid_constant__ Batch<Ranked> all, bool magnitude, Index block, const State* state,
                const Index* equal) {
    const Tile<Bits> own = tile_of_warp<Bits>(all, magnitude);
    const int kind = state->kind, lane = threadIdx.x % warp_size;
    const Bits bound = static_cast<Bits>(state->ordinal);
    Index before = kind == key ? equal[(block + blockIdx.x) * warps + threadIdx.x / warp_size] : 0;
    for (Index first = own.begin; first < own.end; first += warp_size) {
        const bool competes = (kind == key || kind == lowest) && own.competes(first + lane);
        const Bits ordinal = competes ? own.ordinal(first + lane) : Bits{0};
        const unsigned equals = __ballot_sync(~0u, competes && kind == key && ordinal == bound);
        const Index place = before + __popc(equals & ((1u << lane) - 1));
        const bool chosen =
            competes && (kind == lowest || ordinal > bound || (ordinal == bound && place < state->rank));
        write_word(own.tensor.kept, first, own.tensor.count, __ballot_sync(~0u, chosen));
        before += __popc(equals);
    }
}

struct Work {
    State* state;
    Index* equal;  // of each tile
    cudaStream_t stream;

    Work(void* memory, Stream stream)
        : state(static_cast<State*>(memory)),
          equal(reinterpret_cast<Index*>(state + 1)),
          stream(static_cast<cudaStream_t>(stream)) {}
};

Index blocks_of(const std::vector<Ranked>& tensors) {
    Index blocks = 0;
    for (const Ranked& tensor : tensors) blocks += (tensor.count + chunk - 1) / chunk;
    return blocks;
}

// Call use(infinity) with the bits of infinity.
template <class Use>
void with_infinity(Element element, const Use& use) {
    switch (element) {
        case Element::float64: return use(0x7ff0000000000000ull);
        case Element::float32: return use(0x7f800000u);
        case Element::float16: return use(std::uint16_t{0x7c00});
        default: return use(std::uint16_t{0x7f80});
    }
}

}  // namespace

Index selection_bytes(const std::vector<Ranked>& tensors) {
    return static_cast<Index>(sizeof(State)) + blocks_of(tensors) * warps * static_cast<Index>(sizeof(Index));
}

void kth_largest(Element element, const std::vector<Ranked>& tensors, Index k, bool magnitude, void* memory,
                 void* bound, Stream stream) {
    const Work work(memory, stream);
    launch(begin_kernel, dim3(1), dim3(block_size), 0, work.stream, work.state, k);
    with_infinity(element, [&](auto infinity) {
        using Bits = decltype(infinity);
        for (int left = Order<Bits>::width; left > 0;) {
            const bool first = left == Order<Bits>::width;
            const int bits = left < digit_bits ? left : digit_bits;
            left -= bits;
            in_batches(tensors, chunk, [&](const Batch<Ranked>& all, unsigned blocks, Index) {
                launch(count_kernel<Bits>, dim3(blocks), dim3(block_size), 0, work.stream, all, infinity, magnitude,
                       left, bits, first, work.state);
            });
            launch(pick_kernel, dim3(1), dim3(block_size), 0, work.stream, work.state, bits, first);
        }
        launch(end_kernel<Bits>, dim3(1), dim3(1), 0, work.stream, work.state, infinity, static_cast<Bits*>(bound));
    });
}

void mark_largest(Element element, const std::vector<Ranked>& tensors, bool magnitude, void* memory, Stream stream) {
    const Work work(memory, stream);
    with_infinity(element, [&](auto infinity) {
        using Bits = decltype(infinity);
        in_batches(tensors, chunk, [&](const Batch<Ranked>& all, unsigned blocks, Index before) {
            launch(equal_kernel<Bits>, dim3(blocks), dim3(block_size), 0, work.stream, all, magnitude, before,
                   work.state, work.equal);
        });
        launch(before_kernel, dim3(1), dim3(block_size), 0, work.stream, work.state, work.equal,
               blocks_of(tensors) * warps);
        in_batches(tensors, chunk, [&](const Batch<Ranked>& all, unsigned blocks, Index before) {
            launch(mark_kernel<Bits>, dim3(blocks), dim3(block_size), 0, work.stream, all, magnitude, before,
                   work.state, work.equal);
        });
    });
}

}  // namespace prune_adapters::cuda
