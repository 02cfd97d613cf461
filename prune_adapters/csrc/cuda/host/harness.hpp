// What a test calls through ctypes beside the kernels: the mode, and errors as text.
#pragma once

#include "shim.hpp"

#define PRUNE_ADAPTERS_EXPORT extern "C" __attribute__((visibility("default")))

PRUNE_ADAPTERS_EXPORT void shim_mode(bool eager, bool reverse) { prune_adapters::host::mode = {eager, reverse}; }

PRUNE_ADAPTERS_EXPORT void shim_refuse_launches(bool refuse) { prune_adapters::host::refuse_launches = refuse; }

namespace prune_adapters::host {

// Returns nullptr, or what went wrong.
template <class Run>
const char* guarded(const Run& run) {
    static std::string message;
    try {
        run();
    } catch (const std::exception& error) {
        message = error.what();
        return message.c_str();
    }
    return nullptr;
}

}  // namespace prune_adapters::host
