// What Python calls through ctypes: registration, the choice of an instruction set, and the kernels for tests.
#include <cstring>
#include <stdexcept>
#include <string>

#include "blocks.hpp"
#include "kernels.hpp"
#include "linear_kernels.hpp"
#include "operators/operators.hpp"
#include "panels.hpp"
#include "reach.hpp"
#include "select.hpp"
#include "soft.hpp"
#include "torch_api.hpp"

#define PRUNE_ADAPTERS_EXPORT extern "C" __attribute__((visibility("default")))

using namespace prune_adapters;

// Give the kernels to the torch at `libtorch`, which is loaded. Returns nullptr, or what torch lacks.
PRUNE_ADAPTERS_EXPORT const char* prune_adapters_register(const char* libtorch) {
    static bool registered = false;
    if (registered) return nullptr;
    if (const char* missing = torch::bind(libtorch)) return missing;
    try {
        implement_operators();
    } catch (const std::runtime_error& error) {
        static const std::string message = error.what();
        return message.c_str();
    }
    registered = true;
    return nullptr;
}

// The functions of torch that are looked up, and a null pointer at the end.
PRUNE_ADAPTERS_EXPORT const char* const* prune_adapters_torch_functions() { return torch::function_names; }

PRUNE_ADAPTERS_EXPORT const char* prune_adapters_isa() { return kernels().name; }
PRUNE_ADAPTERS_EXPORT bool prune_adapters_use_isa(const char* name) { return use_kernels(name); }
PRUNE_ADAPTERS_EXPORT bool prune_adapters_uses_pairs() { return uses_pairs(); }
PRUNE_ADAPTERS_EXPORT bool prune_adapters_use_pairs(int wanted) { return use_pairs(static_cast<Pairs>(wanted)); }

PRUNE_ADAPTERS_EXPORT void prune_adapters_clear(void* values, int log_size, const std::uint8_t* bits, Index count) {
    kernels().clear[log_size](values, bits, count);
}
PRUNE_ADAPTERS_EXPORT void prune_adapters_pack(const std::uint8_t* flags, Index count, std::uint8_t* bits) {
    pack(flags, count, bits);
}
PRUNE_ADAPTERS_EXPORT void prune_adapters_unpack(const std::uint8_t* bits, Index count, std::uint8_t* flags) {
    unpack(bits, count, flags);
}

PRUNE_ADAPTERS_EXPORT int prune_adapters_lanes(bool is_double) {
    return is_double ? linear_kernels().f64.tiles.lanes : linear_kernels().f32.tiles.lanes;
}
PRUNE_ADAPTERS_EXPORT bool prune_adapters_permute(const float* values, const std::int32_t* places, Index count,
                                                  float* permuted) {
    return permute(values, places, count, permuted);
}
#define PRUNE_ADAPTERS_EXPORT_LINEAR(T, suffix)                                                             \
    PRUNE_ADAPTERS_EXPORT void prune_adapters_pack_tile_##suffix(int width, const T* rows, Index stride,    \
                                                                 Index n_rows, Index features, T* tile) {   \
        linear_kernels().suffix.tiles.pack[width](rows, stride, n_rows, features, tile);                    \
    }                                                                                                       \
    PRUNE_ADAPTERS_EXPORT void prune_adapters_unpack_tile_##suffix(int width, const T* tile,                \
                                                                   Index features, T* rows, Index stride,   \
                                                                   Index n_rows) {                          \
        linear_kernels().suffix.tiles.unpack[width](tile, features, rows, stride, n_rows);                  \
    }                                                                                                       \
    PRUNE_ADAPTERS_EXPORT void prune_adapters_sums_##suffix(const T* runs, T* sums) {                       \
        linear_kernels().suffix.tiles.sums(runs, sums);                                                     \
    }                                                                                                       \
    PRUNE_ADAPTERS_EXPORT bool prune_adapters_panels_multiply_##suffix(const Panels* matrix,                \
                                                                       const T* values, const T* bias,      \
                                                                       const T* x, Index batch, T* y) {     \
        return multiply(*matrix, values, bias, x, batch, y);                                                \
    }                                                                                                       \
    PRUNE_ADAPTERS_EXPORT bool prune_adapters_panels_dots_##suffix(const Panels* matrix, const T* g,        \
                                                                   const T* x, Index batch, T* found) {     \
        return dots(*matrix, g, x, batch, found);                                                           \
    }                                                                                                       \
    PRUNE_ADAPTERS_EXPORT_BLOCKS(T, suffix)
#define PRUNE_ADAPTERS_EXPORT_BLOCKS(T, suffix)                                                             \
    PRUNE_ADAPTERS_EXPORT bool prune_adapters_blocks_multiply_##suffix(                                     \
        const Blocks* matrix, const std::int32_t* places, const T* values, const T* bias, const T* x,       \
        Index batch, T* y) {                                                                                \
        return multiply(*matrix, places, values, bias, x, batch, y);                                        \
    }                                                                                                       \
    PRUNE_ADAPTERS_EXPORT bool prune_adapters_blocks_outer_##suffix(const Blocks* matrix, const T* g,       \
                                                                    const T* x, Index batch, T* found) {    \
        return outer(*matrix, g, x, batch, found);                                                          \
    }
PRUNE_ADAPTERS_EXPORT_LINEAR(float, f32)
PRUNE_ADAPTERS_EXPORT_LINEAR(double, f64)
PRUNE_ADAPTERS_EXPORT_BLOCKS(Bfloat16, bf16)
// The tensors are rows of three: where the elements lie, where their bits do or null, how many there are. Returns
// Bound::Kind.
static Selection selection_of(const void* const* tensors, Index count, int element, bool magnitude) {
    std::vector<Competitors> all;
    for (Index i = 0; i < count; ++i, tensors += 3)
        all.push_back({static_cast<const char*>(tensors[0]), static_cast<const std::uint8_t*>(tensors[1]),
                       static_cast<Index>(reinterpret_cast<std::intptr_t>(tensors[2]))});
    return Selection(std::move(all), static_cast<Element>(element), magnitude);
}
PRUNE_ADAPTERS_EXPORT int prune_adapters_keep_largest(const void* const* tensors, Index count, int element,
                                                      bool magnitude, Index keep, Key* key, std::uint8_t* const* bits) {
    const Selection selection = selection_of(tensors, count, element, magnitude);
    const Bound bound = selection.kth_largest(keep);
    selection.mark_largest(keep, bound, {bits, bits + count});
    *key = bound.value;
    return bound.kind;
}

PRUNE_ADAPTERS_EXPORT void prune_adapters_band_stop(int number, const void* weight, double threshold, double sharpness,
                                                    Index count, void* masked, void* mask) {
    soft().forward[number](weight, threshold, sharpness, count, masked, mask);
}
PRUNE_ADAPTERS_EXPORT void prune_adapters_band_stop_backward(int number, const void* grad, const void* grad_mask,
                                                             const void* weight, double threshold, double sharpness,
                                                             Index count, void* result) {
    soft().backward[number](grad, grad_mask, weight, threshold, sharpness, count, result);
}

// `shape` holds rows, columns, taps and groups; an element of -1 stands for packed bits.
static Edges edges_of(const void* weight, int element, const Index* shape) {
    const Shape all{shape[0], shape[1], shape[2], shape[3]};
    return {weight, element < 0, element < 0 ? Element::uint8 : static_cast<Element>(element), all};
}
PRUNE_ADAPTERS_EXPORT void prune_adapters_reach_targets(const void* weight, int element, const Index* shape,
                                                        const std::uint8_t* live, std::uint8_t* targets) {
    reach_targets(edges_of(weight, element, shape), live, targets);
}
PRUNE_ADAPTERS_EXPORT void prune_adapters_reach_sources(const void* weight, int element, const Index* shape,
                                                        const std::uint8_t* co, std::uint8_t* sources) {
    reach_sources(edges_of(weight, element, shape), co, sources);
}
PRUNE_ADAPTERS_EXPORT Index prune_adapters_count_consistent(const void* weight, int element, const Index* shape,
                                                            const std::uint8_t* live, const std::uint8_t* co) {
    return count_consistent(edges_of(weight, element, shape), live, co);
}
