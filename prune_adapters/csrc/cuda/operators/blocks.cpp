// Products with blocks, for tensors on CUDA. Python puts block_linear and block_conv2d together of them
// (prune_adapters/ops/cuda_blocks.py).
#include "../blocks.hpp"

#include "../torch_cuda.hpp"
#include "operators.hpp"

namespace prune_adapters::cuda {
namespace {

using torch::OwnTensor;
using torch::Value;

constexpr Index most = 0x7fffffff;

// The tables of blocks of so many outputs and inputs, which read that many features; false if they do not fit.
bool as_blocks(const OnDevice& device, const OwnTensor& ptr, const OwnTensor& idx, const OwnTensor& perm, Index features,
               Index width, Index depth, BlockTables* tables) {
    const std::int32_t int32 = torch::api.dtype_int32();
    if (!device.holds_array(ptr, int32, {-1}) || !device.holds_array(idx, int32, {-1})) return false;
    const Index groups = ptr.numel() - 1, blocks = idx.numel();
    if (perm && !device.holds_array(perm, int32, {blocks})) return false;
    if (width < 1 || depth < 1 || width > most || depth > most / width || features > most || features % depth) return false;
    if (groups < 0 || groups > most / width || blocks > most / (width * depth) || (blocks && !features)) return false;
    const auto as_int = [](Index size) { return static_cast<int>(size); };
    *tables = {data_of<std::int32_t>(ptr), data_of<std::int32_t>(idx), perm ? data_of<std::int32_t>(perm) : nullptr,
               as_int(groups), as_int(features / depth), as_int(blocks)};
    return true;
}

BlockSize size_of(Index width, Index depth) { return {static_cast<int>(width), static_cast<int>(depth)}; }

// _block_rows(Tensor x, Tensor values, Tensor? bias, Tensor ptr, Tensor idx, Tensor? perm, bool transposed, int tile)
// -> Tensor
void rows(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor x(stack[0]), values(stack[1]), bias(take_optional(stack[2])), ptr(stack[3]), idx(stack[4]);
    const OwnTensor perm(take_optional(stack[5]));
    const bool transposed = stack[6] != 0;
    const auto tile = static_cast<int>(static_cast<Index>(stack[7]));
    const OnDevice device(x);
    const std::int32_t dtype = x.dtype();
    Number number;
    require(is_number(dtype, number) && device.holds_array(x, dtype, {-1, -1}) &&
                device.holds_array(values, dtype, {idx.numel(), -1, -1}),
            "_block_rows");
    const Index width = values.sizes()[transposed ? 2 : 1], depth = values.sizes()[transposed ? 1 : 2];
    BlockTables tables;
    const bool good = as_blocks(device, ptr, idx, perm, x.sizes()[1], width, depth, &tables) &&
                      (!bias || device.holds_array(bias, dtype, {tables.groups * width}));
    require(good, "_block_rows");
    const Index batch = x.sizes()[0];
    OwnTensor y = device.empty(dtype, {batch, tables.groups * width});
    if (y.numel())
        block_rows(number, tables, size_of(width, depth), x.data(), values.data(), bias ? bias.data() : nullptr,
                   y.mutable_data(), batch, transposed, tile, device.stream());
    check_launch("_block_rows");
    stack[0] = y.release();
}

// _block_sampled(Tensor grad, Tensor x, Tensor ptr, Tensor idx, int width, int depth) -> Tensor
void sampled(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor grad(stack[0]), x(stack[1]), ptr(stack[2]), idx(stack[3]), no_perm(0);
    const auto width = static_cast<Index>(stack[4]), depth = static_cast<Index>(stack[5]);
    const OnDevice device(grad);
    const std::int32_t dtype = grad.dtype();
    Number number;
    require(is_number(dtype, number) && device.holds_array(grad, dtype, {-1, -1}) &&
                device.holds_array(x, dtype, {grad.sizes()[0], -1}),
            "_block_sampled");
    BlockTables tables;
    const bool good = as_blocks(device, ptr, idx, no_perm, x.sizes()[1], width, depth, &tables) &&
                      grad.sizes()[1] == tables.groups * width;
    require(good, "_block_sampled");
    const Index batch = grad.sizes()[0];
    const BlockSize size = size_of(width, depth);
    OwnTensor values = device.empty(dtype, {tables.blocks, width, depth});
    const int splits = block_splits(number, tables, size, batch);
    const std::int32_t wide = number == Number::float64 ? dtype : torch::api.dtype_float32();
    OwnTensor partial = device.empty(wide, {splits > 1 ? splits * values.numel() : 0});
    if (values.numel())
        block_sampled(number, tables, size, grad.data(), x.data(), values.mutable_data(),
                      splits > 1 ? partial.mutable_data() : nullptr, splits, batch, device.stream());
    check_launch("_block_sampled");
    stack[0] = values.release();
}

}  // namespace

void implement_blocks(const Registry& cuda) {
    cuda.add("_block_rows", rows);
    cuda.add("_block_sampled", sampled);
}

}  // namespace prune_adapters::cuda
