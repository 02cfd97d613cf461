// How kernels reach torch.
#include "registry.hpp"

#include "../tensors.hpp"

namespace prune_adapters {
namespace {

// What the values on the stack mean: as torch 2.10 has it.
constexpr std::uint64_t interface_version = 2ULL << 56 | 10ULL << 48;

}  // namespace

Registry::Registry(const char* dispatch_key) {
    torch::check(torch::api.init_impl("prune_adapters", dispatch_key, __FILE__, __LINE__, &library), "init_impl");
}

void Registry::add(const char* name, torch::Boxed kernel) const {
    torch::check(torch::api.implement(library, name, kernel, interface_version), "implement");
}

}  // namespace prune_adapters
