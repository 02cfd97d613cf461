// Gives torch the kernels for one kind of device.
#pragma once

#include <stdexcept>
#include <string>

#include "../torch_api.hpp"

namespace prune_adapters {

// What torch calls for one kind of device.
class Registry {
public:
    explicit Registry(const char* dispatch_key);

    // Give torch the kernel of an operator, by the name that it has in Python.
    void add(const char* name, torch::Boxed kernel) const;

private:
    torch::Library* library = nullptr;
};

// What fits together is checked in Python, in words (prune_adapters/ops/); what kernels check, for those who call
// torch.ops, keeps memory safe. Raises if not `good`.
inline void require(bool good, const char* function) {
    if (good) return;
    const std::string name = function;
    throw std::runtime_error("prune_adapters::" + name + ": arguments that do not fit; prune_adapters.ops." + name +
                             " says what is wrong");
}

}  // namespace prune_adapters
