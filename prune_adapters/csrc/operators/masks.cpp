// The operators on masks, for tensors on the CPU.
#include "../clear.hpp"
#include "../tensors.hpp"
#include "mask_arguments.hpp"
#include "operators.hpp"

namespace prune_adapters {
namespace {

using torch::OwnTensor;
using torch::Value;

Run run_of(const OwnTensor& tensor, const OwnTensor& bits) {
    const Run run{nullptr, nullptr, tensor.numel(), log_size(tensor.dtype())};
    const bool known = run.log_size < n_sizes && !overlaps(tensor);
    require(tensor.on_cpu() && bits.on_cpu() && known && are_bits(bits, run.count), "apply_masks_");
    auto* values = static_cast<char*>(tensor.mutable_data());
    return {values, static_cast<const std::uint8_t*>(bits.data()), run.count, run.log_size};
}

// apply_masks_(Tensor(a!)[] tensors, Tensor[] bits) -> ()
void apply_masks(Value* stack, std::uint64_t, std::uint64_t) {
    const std::vector<OwnTensor> tensors = torch::take_tensors(stack[0]), bits = torch::take_tensors(stack[1]);
    require(tensors.size() == bits.size(), "apply_masks_");
    std::vector<Run> runs, strided;
    std::vector<const OwnTensor*> layouts;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const bool whole = tensors[i].is_contiguous();
        (whole ? runs : strided).push_back(run_of(tensors[i], bits[i]));
        if (!whole) layouts.push_back(&tensors[i]);
    }
    clear_runs(std::move(runs));
    for (std::size_t i = 0; i < strided.size(); ++i)
        clear_strided(strided[i], layouts[i]->dim(), layouts[i]->sizes(), layouts[i]->strides());
}

// pack_mask(Tensor mask) -> Tensor
void pack_mask(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor mask(stack[0]);
    require(mask.on_cpu() && mask.dtype() == torch::api.dtype_bool() && mask.is_contiguous(), "pack_mask");
    const Index count = mask.numel();
    OwnTensor bits = torch::empty(torch::api.dtype_uint8(), {(count + 7) / 8});
    pack(static_cast<const std::uint8_t*>(mask.data()), count, static_cast<std::uint8_t*>(bits.mutable_data()));
    stack[0] = bits.release();
}

// unpack_mask(Tensor bits, int[] size) -> Tensor
void unpack_mask(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor bits(stack[0]);
    const std::vector<Value> size = torch::take_list(stack[1]);
    OwnTensor mask = torch::empty(torch::api.dtype_bool(), {size.begin(), size.end()});
    const Index count = mask.numel();
    require(bits.on_cpu() && are_bits(bits, count), "unpack_mask");
    unpack(static_cast<const std::uint8_t*>(bits.data()), count, static_cast<std::uint8_t*>(mask.mutable_data()));
    stack[0] = mask.release();
}

}  // namespace

void implement_masks(const Registry& cpu) {
    cpu.add("apply_masks_", apply_masks);
    cpu.add("pack_mask", pack_mask);
    cpu.add("unpack_mask", unpack_mask);
}

}  // namespace prune_adapters
