// The operators on masks, for tensors on CUDA.
#include "../../operators/mask_arguments.hpp"
#include "../torch_cuda.hpp"
#include "operators.hpp"

namespace prune_adapters::cuda {
namespace {

using torch::OwnTensor;
using torch::Value;

Run run_of(const OnDevice& device, const OwnTensor& tensor, const OwnTensor& bits) {
    const int log = log_size(tensor.dtype());
    const bool known = log < n_sizes && !overlaps(tensor);
    require(device.holds(tensor) && device.holds(bits) && known && are_bits(bits, tensor.numel()), "apply_masks_");
    auto* values = static_cast<char*>(tensor.mutable_data());
    const std::uintptr_t own = std::uintptr_t{1} << (log < 3 ? log : 3);
    require(reinterpret_cast<std::uintptr_t>(values) % own == 0, "apply_masks_");
    return {values, static_cast<const std::uint8_t*>(bits.data()), tensor.numel(), log};
}

// apply_masks_(Tensor(a!)[] tensors, Tensor[] bits) -> ()
void apply_masks(Value* stack, std::uint64_t, std::uint64_t) {
    const std::vector<OwnTensor> tensors = torch::take_tensors(stack[0]), bits = torch::take_tensors(stack[1]);
    require(tensors.size() == bits.size(), "apply_masks_");
    if (tensors.empty()) return;
    const OnDevice device(tensors[0]);
    std::vector<Run> runs;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const Run run = run_of(device, tensors[i], bits[i]);
        if (tensors[i].is_contiguous())
            runs.push_back(run);
        else
            require(clear_strided(run, tensors[i].dim(), tensors[i].sizes(), tensors[i].strides(), device.stream()),
                    "apply_masks_");
    }
    clear_runs(runs, device.stream());
    check_launch("apply_masks_");
}

// pack_mask(Tensor mask) -> Tensor
void pack_mask(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor mask(stack[0]);
    const OnDevice device(mask);
    require(mask.dtype() == torch::api.dtype_bool() && mask.is_contiguous(), "pack_mask");
    const Index count = mask.numel();
    OwnTensor bits = device.empty(torch::api.dtype_uint8(), {(count + 7) / 8});
    pack(static_cast<const std::uint8_t*>(mask.data()), count, static_cast<std::uint8_t*>(bits.mutable_data()),
         device.stream());
    check_launch("pack_mask");
    stack[0] = bits.release();
}

// unpack_mask(Tensor bits, int[] size) -> Tensor
void unpack_mask(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor bits(stack[0]);
    const std::vector<Value> size = torch::take_list(stack[1]);
    const OnDevice device(bits);
    OwnTensor mask = device.empty(torch::api.dtype_bool(), {size.begin(), size.end()});
    const Index count = mask.numel();
    require(are_bits(bits, count), "unpack_mask");
    unpack(static_cast<const std::uint8_t*>(bits.data()), count, static_cast<std::uint8_t*>(mask.mutable_data()),
           device.stream());
    check_launch("unpack_mask");
    stack[0] = mask.release();
}

}  // namespace

void implement_masks(const Registry& cuda) {
    cuda.add("apply_masks_", apply_masks);
    cuda.add("pack_mask", pack_mask);
    cuda.add("unpack_mask", unpack_mask);
}

}  // namespace prune_adapters::cuda
