// The kernels of selection, of band-stop masks and of reach steps, for tests.
#include "prune_adapters/csrc/cuda/band_stop.hpp"
#include "prune_adapters/csrc/cuda/host/harness.hpp"
#include "prune_adapters/csrc/cuda/reach.hpp"
#include "prune_adapters/csrc/cuda/select.hpp"

using namespace prune_adapters;
using host::guarded;

// `tensors`: addresses of the values, of the bits of those that compete (or 0), of the bits that are kept, n of each.
PRUNE_ADAPTERS_EXPORT const char* run_select(Index element, const std::uintptr_t* tensors, const Index* counts, Index n,
                                             Index k, Index magnitude, void* bound) {
    return guarded([&] {
        std::vector<cuda::Ranked> ranked;
        for (Index i = 0; i < n; ++i)
            ranked.push_back({reinterpret_cast<const void*>(tensors[i]),
                              reinterpret_cast<const std::uint8_t*>(tensors[n + i]),
                              reinterpret_cast<std::uint8_t*>(tensors[2 * n + i]), counts[i]});
        const Index bytes = cuda::selection_bytes(ranked);
        std::vector<unsigned long long> work(static_cast<std::size_t>(bytes / 8 + 1), ~0ull);
        const auto of = static_cast<Element>(element);
        cuda::kth_largest(of, ranked, k, magnitude != 0, work.data(), bound, nullptr);
        cuda::mark_largest(of, ranked, magnitude != 0, work.data(), nullptr);
        if (bytes % 8 || work.back() != ~0ull) throw std::runtime_error("a write beyond the memory to work in");
    });
}

PRUNE_ADAPTERS_EXPORT const char* run_band_stop(Index number, const void* weight, const double* numbers, Index count,
                                                void* masked, void* mask) {
    return guarded([&] {
        cuda::band_stop(static_cast<cuda::Number>(number), weight, {numbers, true}, {numbers + 1, true}, count, masked,
                        mask, nullptr);
    });
}
PRUNE_ADAPTERS_EXPORT const char* run_band_stop_backward(Index number, const void* grad, const void* grad_mask,
                                                         const void* weight, const float* numbers, Index count,
                                                         void* result) {
    return guarded([&] {
        cuda::band_stop_backward(static_cast<cuda::Number>(number), grad, grad_mask, weight, {numbers, false},
                                 {numbers + 1, false}, count, result, nullptr);
    });
}

// `shape`: rows, columns, taps, groups; an element of -1 stands for packed bits.
static Edges edges_of(const void* weight, Index element, const Index* shape) {
    const Shape all{shape[0], shape[1], shape[2], shape[3]};
    return {weight, element < 0, element < 0 ? Element::uint8 : static_cast<Element>(element), all};
}
PRUNE_ADAPTERS_EXPORT const char* run_targets(const void* weight, Index element, const Index* shape,
                                              const std::uint8_t* live, std::uint8_t* targets) {
    return guarded([&] { cuda::reach_targets(edges_of(weight, element, shape), live, targets, nullptr); });
}
PRUNE_ADAPTERS_EXPORT const char* run_sources(const void* weight, Index element, const Index* shape,
                                              const std::uint8_t* co, std::uint8_t* sources) {
    return guarded([&] { cuda::reach_sources(edges_of(weight, element, shape), co, sources, nullptr); });
}
PRUNE_ADAPTERS_EXPORT const char* run_count(const void* weight, Index element, const Index* shape,
                                            const std::uint8_t* live, const std::uint8_t* co, Index* count) {
    return guarded([&] { cuda::count_consistent(edges_of(weight, element, shape), live, co, count, nullptr); });
}
