// What Python calls through ctypes: registration, the choice of an instruction set, and the kernels for tests.
#include <cstring>
#include <stdexcept>
#include <string>

#include "kernels.hpp"
#include "linear_kernels.hpp"
#include "operators/operators.hpp"
#include "panels.hpp"
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
    }
PRUNE_ADAPTERS_EXPORT_LINEAR(float, f32)
PRUNE_ADAPTERS_EXPORT_LINEAR(double, f64)
