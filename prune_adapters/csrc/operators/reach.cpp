// Steps of a sweep along a weight, for tensors on the CPU.
#include "../reach.hpp"

#include "../elements.hpp"
#include "../tensors.hpp"
#include "mask_arguments.hpp"
#include "operators.hpp"

namespace prune_adapters {
namespace {

using torch::OwnTensor;
using torch::Value;

bool multiply(Index& product, Index factor) {
    return factor >= 0 && !__builtin_mul_overflow(product, factor, &product);
}

// What a dtype that has no format of its own means: a byte is not 0 if it is true.
bool is_readable(std::int32_t dtype, Element& element) {
    if (is_float(dtype, element)) return true;
    element = Element::uint8;
    return dtype == torch::api.dtype_bool() || dtype == torch::api.dtype_uint8();
}

// Set `edges` to a weight, or to bits of `size`; false if that cannot be.
bool read(const OwnTensor& weight, const std::vector<Value>& size, Index groups, Edges& edges) {
    if (!weight.on_cpu() || !weight.is_contiguous()) return false;
    std::vector<Index> shape(weight.sizes(), weight.sizes() + weight.dim());
    edges.packed = !size.empty();
    if (edges.packed) shape.assign(size.begin(), size.end());
    if (shape.size() < 2 || shape[0] < 0 || groups < 1 || shape[0] % groups) return false;
    Index taps = 1, count = shape[0], sources = groups;
    for (std::size_t d = 2; d < shape.size(); ++d)
        if (!multiply(taps, shape[d])) return false;
    Index padded = 128;  // bits in a mask and its padding, of each group
    if (!multiply(count, shape[1]) || !multiply(count, taps) || !multiply(sources, shape[1]) ||
        !multiply(sources, taps) || !multiply(padded, groups))
        return false;
    edges.shape = {shape[0], shape[1], taps, groups};
    edges.data = weight.data();
    if (edges.packed) return are_bits(weight, count);
    return is_readable(weight.dtype(), edges.element);
}

bool are_flags(const OwnTensor& flags, Index count) {
    return flags.on_cpu() && flags.dtype() == torch::api.dtype_bool() && flags.is_contiguous() &&
           flags.numel() == count;
}

const std::uint8_t* bytes(const OwnTensor& flags) { return static_cast<const std::uint8_t*>(flags.data()); }

// reach_targets(Tensor weight, SymInt[] size, Tensor live, SymInt groups) -> Tensor
void reach_targets(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor weight(stack[0]), live(stack[2]);
    const std::vector<Value> size = torch::take_list(stack[1]);
    Edges edges{};
    const bool good = read(weight, size, static_cast<Index>(stack[3]), edges);
    require(good && are_flags(live, edges.shape.groups * edges.shape.columns), "reach_targets");
    OwnTensor targets = torch::empty(torch::api.dtype_bool(), {edges.shape.rows});
    reach_targets(edges, bytes(live), static_cast<std::uint8_t*>(targets.mutable_data()));
    stack[0] = targets.release();
}

// reach_sources(Tensor weight, SymInt[] size, Tensor co, SymInt groups) -> Tensor
void reach_sources(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor weight(stack[0]), co(stack[2]);
    const std::vector<Value> size = torch::take_list(stack[1]);
    Edges edges{};
    const bool good = read(weight, size, static_cast<Index>(stack[3]), edges);
    require(good && are_flags(co, edges.shape.rows), "reach_sources");
    OwnTensor sources = torch::empty(torch::api.dtype_bool(), {edges.shape.groups * edges.shape.columns});
    reach_sources(edges, bytes(co), static_cast<std::uint8_t*>(sources.mutable_data()));
    stack[0] = sources.release();
}

// count_consistent(Tensor weight, SymInt[] size, Tensor live, Tensor co, SymInt groups) -> Tensor
void count_consistent(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor weight(stack[0]), live(stack[2]), co(stack[3]);
    const std::vector<Value> size = torch::take_list(stack[1]);
    Edges edges{};
    const bool good = read(weight, size, static_cast<Index>(stack[4]), edges) && are_flags(co, edges.shape.rows);
    require(good && are_flags(live, edges.shape.groups * edges.shape.columns), "count_consistent");
    OwnTensor count = torch::empty(torch::api.dtype_int64(), {});
    *static_cast<Index*>(count.mutable_data()) = count_consistent(edges, bytes(live), bytes(co));
    stack[0] = count.release();
}

}  // namespace

void implement_reach(const Registry& cpu) {
    cpu.add("reach_targets", reach_targets);
    cpu.add("reach_sources", reach_sources);
    cpu.add("count_consistent", count_consistent);
}

}  // namespace prune_adapters
