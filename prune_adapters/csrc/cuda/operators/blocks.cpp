// Products with blocks, for tensors on CUDA. Python puts block_linear and block_conv2d together of them
// (prune_adapters/ops/cuda_blocks.py).
#include "../blocks.hpp"

#include "../torch_cuda.hpp"
#include "operators.hpp"

namespace prune_adapters::cuda {
namespace {

using torch::cuda_api;
using torch::OwnTensor;
using torch::Value;

constexpr Index most = 0x7fffffff;

bool is_plain(const OnDevice& device, const OwnTensor& tensor, std::int32_t dtype, Index dim) {
    return device.holds(tensor) && tensor.dtype() == dtype && tensor.dim() == dim && tensor.is_contiguous();
}

// A missing tensor comes as a null pointer, one that is there as a pointer to its handle.
OwnTensor take_optional(Value value) {
    if (!value) return OwnTensor(0);
    auto* held = reinterpret_cast<Value*>(value);
    OwnTensor taken(*held);
    delete held;
    return taken;
}

// The tables, and how many features there are on the other side.
BlockTables tables_of(const OnDevice& device, const OwnTensor& ptr, const OwnTensor& idx, const OwnTensor& perm,
                      Index features, Index depth, const char* function) {
    const std::int32_t int32 = cuda_api.dtype_int32();
    require(is_plain(device, ptr, int32, 1) && is_plain(device, idx, int32, 1) && ptr.numel() > 0, function);
    if (perm) require(is_plain(device, perm, int32, 1) && perm.numel() == idx.numel(), function);
    require(depth > 0 && features % depth == 0 && features < most && ptr.numel() < most && idx.numel() < most, function);
    require(features > 0 || idx.numel() == 0, function);
    return {static_cast<const std::int32_t*>(ptr.data()), static_cast<const std::int32_t*>(idx.data()),
            perm ? static_cast<const std::int32_t*>(perm.data()) : nullptr, static_cast<int>(ptr.numel() - 1),
            static_cast<int>(features / depth), static_cast<int>(idx.numel())};
}

bool fits(const BlockTables& tables, Index width, Index depth) {
    const bool sides = width > 0 && depth > 0 && width <= most && depth <= most / width;
    return sides && tables.blocks <= most / (width * depth) && tables.groups <= most / width;
}

// _block_rows(Tensor x, Tensor values, Tensor? bias, Tensor ptr, Tensor idx, Tensor? perm, bool transposed, int tile)
// -> Tensor
void rows(Value* stack, std::uint64_t, std::uint64_t) {
    const char* name = "_block_rows";
    const OwnTensor x(stack[0]), values(stack[1]), bias = take_optional(stack[2]), ptr(stack[3]), idx(stack[4]),
        perm = take_optional(stack[5]);
    const bool transposed = stack[6] != 0;
    const OnDevice device(x);
    const std::int32_t dtype = x.dtype();
    Number number;
    require(is_number(dtype, number) && is_plain(device, x, dtype, 2) && is_plain(device, values, dtype, 3), name);
    const Index width = values.sizes()[transposed ? 2 : 1], depth = values.sizes()[transposed ? 1 : 2];
    const BlockTables tables = tables_of(device, ptr, idx, perm, x.sizes()[1], depth, name);
    require(values.sizes()[0] == tables.blocks && fits(tables, width, depth), name);
    const Index batch = x.sizes()[0], features = tables.groups * width;
    if (bias) require(is_plain(device, bias, dtype, 1) && bias.numel() == features, name);
    OwnTensor y = device.empty(dtype, {batch, features});
    const BlockSize size{static_cast<int>(width), static_cast<int>(depth)};
    if (y.numel())
        block_rows(number, tables, size, x.data(), values.data(), bias ? bias.data() : nullptr, y.mutable_data(), batch,
                   transposed, static_cast<int>(static_cast<Index>(stack[7])), device.stream());
    check_launch(name);
    stack[0] = y.release();
}

// _block_sampled(Tensor grad, Tensor x, Tensor ptr, Tensor idx, int width, int depth) -> Tensor
void sampled(Value* stack, std::uint64_t, std::uint64_t) {
    const char* name = "_block_sampled";
    const OwnTensor grad(stack[0]), x(stack[1]), ptr(stack[2]), idx(stack[3]), no_perm(0);
    const auto width = static_cast<Index>(stack[4]), depth = static_cast<Index>(stack[5]);
    const OnDevice device(grad);
    const std::int32_t dtype = grad.dtype();
    Number number;
    require(is_number(dtype, number) && is_plain(device, grad, dtype, 2) && is_plain(device, x, dtype, 2), name);
    const BlockTables tables = tables_of(device, ptr, idx, no_perm, x.sizes()[1], depth, name);
    const Index batch = grad.sizes()[0];
    require(fits(tables, width, depth) && x.sizes()[0] == batch && grad.sizes()[1] == tables.groups * width, name);
    OwnTensor values = device.empty(dtype, {tables.blocks, width, depth});
    const BlockSize size{static_cast<int>(width), static_cast<int>(depth)};
    const int splits = block_splits(number, tables, size, batch);
    const std::int32_t wide = number == Number::float64 ? dtype : cuda_api.dtype_float32();
    OwnTensor partial = device.empty(wide, {splits > 1 ? splits * values.numel() : 0});
    if (values.numel())
        block_sampled(number, tables, size, grad.data(), x.data(), values.mutable_data(),
                      splits > 1 ? partial.mutable_data() : nullptr, splits, batch, device.stream());
    check_launch(name);
    stack[0] = values.release();
}

}  // namespace

void implement_blocks(const Registry& cuda) {
    cuda.add("_block_rows", rows);
    cuda.add("_block_sampled", sampled);
}

}  // namespace prune_adapters::cuda
