// Steps of a sweep along a weight, for tensors on the CPU.
#include "reach_arguments.hpp"

#include "operators.hpp"

namespace prune_adapters {
namespace {

using torch::OwnTensor;
using torch::Value;

// reach_targets(Tensor weight, SymInt[] size, Tensor live, SymInt groups) -> Tensor
void reach_targets(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor weight(stack[0]), live(stack[2]);
    const std::vector<Value> size = torch::take_list(stack[1]);
    Edges edges{};
    const bool good = weight.on_cpu() && read_edges(weight, size, static_cast<Index>(stack[3]), edges);
    require(good && live.on_cpu() && are_flags(live, edges.shape.groups * edges.shape.columns), "reach_targets");
    OwnTensor targets = torch::empty(torch::api.dtype_bool(), {edges.shape.rows});
    reach_targets(edges, bytes_of(live), static_cast<std::uint8_t*>(targets.mutable_data()));
    stack[0] = targets.release();
}

// reach_sources(Tensor weight, SymInt[] size, Tensor co, SymInt groups) -> Tensor
void reach_sources(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor weight(stack[0]), co(stack[2]);
    const std::vector<Value> size = torch::take_list(stack[1]);
    Edges edges{};
    const bool good = weight.on_cpu() && read_edges(weight, size, static_cast<Index>(stack[3]), edges);
    require(good && co.on_cpu() && are_flags(co, edges.shape.rows), "reach_sources");
    OwnTensor sources = torch::empty(torch::api.dtype_bool(), {edges.shape.groups * edges.shape.columns});
    reach_sources(edges, bytes_of(co), static_cast<std::uint8_t*>(sources.mutable_data()));
    stack[0] = sources.release();
}

// count_consistent(Tensor weight, SymInt[] size, Tensor live, Tensor co, SymInt groups) -> Tensor
void count_consistent(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor weight(stack[0]), live(stack[2]), co(stack[3]);
    const std::vector<Value> size = torch::take_list(stack[1]);
    Edges edges{};
    const bool good = weight.on_cpu() && read_edges(weight, size, static_cast<Index>(stack[4]), edges) &&
                      co.on_cpu() && are_flags(co, edges.shape.rows);
    require(good && live.on_cpu() && are_flags(live, edges.shape.groups * edges.shape.columns), "count_consistent");
    OwnTensor count = torch::empty(torch::api.dtype_int64(), {});
    *static_cast<Index*>(count.mutable_data()) = count_consistent(edges, bytes_of(live), bytes_of(co));
    stack[0] = count.release();
}

}  // namespace

void implement_reach(const Registry& cpu) {
    cpu.add("reach_targets", reach_targets);
    cpu.add("reach_sources", reach_sources);
    cpu.add("count_consistent", count_consistent);
}

}  // namespace prune_adapters
