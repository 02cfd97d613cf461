// Steps of a sweep along a weight. A flag that several threads set is set to the same value; counts are integers.
#include "reach.hpp"

#include "bits.cuh"
#include "numbers.cuh"

namespace prune_adapters::cuda {
namespace {

constexpr int warps = 8, block_size = warps * warp_size;

struct Sizes {
    Index rows, columns, taps, groups, width, rows_a_group;

    explicit Sizes(const Shape& shape)
        : rows(shape.rows),
          columns(shape.columns),
          taps(shape.taps),
          groups(shape.groups),
          width(shape.width()),
          rows_a_group(shape.rows_a_group()) {}
};

// Elements of so many bytes, of which some bits tell 0 from the others: the sign of a float does not.
template <class Bits>
struct Values {
    const Bits* at;
    Bits telling;

    __device__ __forceinline__ bool is_edge(Index element) const { return at[element] & telling; }
};

struct PackedValues {
    const std::uint8_t* at;

    __device__ __forceinline__ bool is_edge(Index element) const { return has_bit(at, element); }
};

// A warp for each row, until it has found an edge.
template <class Weight>
__global__ void __launch_bounds__(block_size)
    targets_kernel(const Weight weight, const Sizes sizes, const std::uint8_t* live, std::uint8_t* targets) {
    const Index row = static_cast<Index>(blockIdx.x) * warps + threadIdx.x / warp_size, width = sizes.width;
    if (row >= sizes.rows) return;
    live += row / sizes.rows_a_group * sizes.columns;
    bool found = false;
    for (Index first = 0; first < width && !found; first += 4 * warp_size) {
        bool own = false;
        for (int k = 0; k < 4; ++k) {
            const Index place = first + k * warp_size + threadIdx.x % warp_size;
            own |= place < width && weight.is_edge(row * width + place) && live[place / sizes.taps];
        }
        found = __any_sync(~0u, own);
    }
    if (threadIdx.x % warp_size == 0) targets[row] = found;
}

__global__ void __launch_bounds__(block_size) clear_kernel(std::uint8_t* bytes, Index count) {
    const Index place = static_cast<Index>(blockIdx.x) * block_size + threadIdx.x;
    if (place < count) bytes[place] = 0;
}

// A thread for each element of a row of each group, and some of its rows: the flags of the columns are 0 before.
template <class Weight>
__global__ void __launch_bounds__(block_size)
    sources_kernel(const Weight weight, const Sizes sizes, const std::uint8_t* co, std::uint8_t* sources, Index rows) {
    const Index width = sizes.width, own = static_cast<Index>(blockIdx.x) * block_size + threadIdx.x;
    if (own >= sizes.groups * width) return;
    const Index group = own / width, place = own % width;
    for (Index part = blockIdx.y; part * rows < sizes.rows_a_group; part += gridDim.y) {
        const Index first = group * sizes.rows_a_group, end = first + min(part * rows + rows, sizes.rows_a_group);
        for (Index row = first + part * rows; row < end; ++row) {
            if (!co[row] || !weight.is_edge(row * width + place)) continue;
            sources[group * sizes.columns + place / sizes.taps] = 1;
            return;
        }
    }
}

__global__ void begin_kernel(unsigned long long* count) { *count = 0; }

// A warp for each row.
template <class Weight>
__global__ void __launch_bounds__(block_size)
    consistent_kernel(const Weight weight, const Sizes sizes, const std::uint8_t* live, const std::uint8_t* co,
                      unsigned long long* count) {
    const Index row = static_cast<Index>(blockIdx.x) * warps + threadIdx.x / warp_size, width = sizes.width;
    if (row >= sizes.rows || !co[row]) return;
    live += row / sizes.rows_a_group * sizes.columns;
    unsigned long long own = 0;
    for (Index place = threadIdx.x % warp_size; place < width; place += warp_size)
        own += weight.is_edge(row * width + place) && live[place / sizes.taps];
    own = sum_over_warp(own);
    if (own && threadIdx.x % warp_size == 0) atomicAdd(count, own);
}

template <class Bits>
Values<Bits> values_of(const Edges& edges, bool is_signed) {
    constexpr Bits all = static_cast<Bits>(~Bits{0});
    return {static_cast<const Bits*>(edges.data), is_signed ? static_cast<Bits>(all >> 1) : all};
}

// Call use(weight) with a weight that the kernels read.
template <class Use>
void with_weight(const Edges& edges, const Use& use) {
    if (edges.packed) return use(PackedValues{static_cast<const std::uint8_t*>(edges.data)});
    switch (edges.element) {
        case Element::float64: return use(values_of<unsigned long long>(edges, true));
        case Element::float32: return use(values_of<std::uint32_t>(edges, true));
        case Element::uint8: return use(values_of<std::uint8_t>(edges, false));
        default: return use(values_of<std::uint16_t>(edges, true));
    }
}

}  // namespace

void reach_targets(const Edges& edges, const std::uint8_t* live, std::uint8_t* targets, Stream stream) {
    if (!edges.shape.rows) return;
    with_weight(edges, [&](auto weight) {
        launch(targets_kernel<decltype(weight)>, dim3(blocks_for(edges.shape.rows, warps)), dim3(block_size), 0,
               static_cast<cudaStream_t>(stream), weight, Sizes(edges.shape), live, targets);
    });
}

void reach_sources(const Edges& edges, const std::uint8_t* co, std::uint8_t* sources, Stream stream) {
    const Shape& shape = edges.shape;
    const Index n_sources = shape.groups * shape.columns, n_threads = shape.groups * shape.width();
    if (!n_sources) return;
    launch(clear_kernel, dim3(blocks_for(n_sources, block_size)), dim3(block_size), 0,
           static_cast<cudaStream_t>(stream), sources, n_sources);
    if (!n_threads || !shape.rows) return;
    constexpr Index rows = 64;  // that a thread looks at, one after the other
    const dim3 grid(blocks_for(n_threads, block_size), blocks_for(shape.rows_a_group(), rows, 65535));
    with_weight(edges, [&](auto weight) {
        launch(sources_kernel<decltype(weight)>, grid, dim3(block_size), 0, static_cast<cudaStream_t>(stream), weight,
               Sizes(shape), co, sources, rows);
    });
}

void count_consistent(const Edges& edges, const std::uint8_t* live, const std::uint8_t* co, Index* count,
                      Stream stream) {
    static_assert(sizeof(Index) == sizeof(unsigned long long));
    auto* counter = reinterpret_cast<unsigned long long*>(count);
    launch(begin_kernel, dim3(1), dim3(1), 0, static_cast<cudaStream_t>(stream), counter);
    if (!edges.shape.rows) return;
    with_weight(edges, [&](auto weight) {
        launch(consistent_kernel<decltype(weight)>, dim3(blocks_for(edges.shape.rows, warps)), dim3(block_size), 0,
               static_cast<cudaStream_t>(stream), weight, Sizes(edges.shape), live, co, counter);
    });
}

}  // namespace prune_adapters::cuda
