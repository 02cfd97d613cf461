// Steps of a sweep along a weight, for tensors on CUDA.
#include "../reach.hpp"

#include "../../operators/reach_arguments.hpp"
#include "../torch_cuda.hpp"
#include "operators.hpp"

namespace prune_adapters::cuda {
namespace {

using torch::OwnTensor;
using torch::Value;

std::uint8_t* mutable_bytes(const OwnTensor& flags) { return static_cast<std::uint8_t*>(flags.mutable_data()); }

// reach_targets(Tensor weight, SymInt[] size, Tensor live, SymInt groups) -> Tensor
void reach_targets(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor weight(stack[0]), live(stack[2]);
    const std::vector<Value> size = torch::take_list(stack[1]);
    const OnDevice device(weight);
    Edges edges{};
    const bool good = read_edges(weight, size, static_cast<Index>(stack[3]), edges);
    require(good && device.holds(live) && are_flags(live, edges.shape.groups * edges.shape.columns), "reach_targets");
    OwnTensor targets = device.empty(torch::api.dtype_bool(), {edges.shape.rows});
    cuda::reach_targets(edges, bytes_of(live), mutable_bytes(targets), device.stream());
    check_launch("reach_targets");
    stack[0] = targets.release();
}

// reach_sources(Tensor weight, SymInt[] size, Tensor co, SymInt groups) -> Tensor
void reach_sources(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor weight(stack[0]), co(stack[2]);
    const std::vector<Value> size = torch::take_list(stack[1]);
    const OnDevice device(weight);
    Edges edges{};
    const bool good = read_edges(weight, size, static_cast<Index>(stack[3]), edges);
    require(good && device.holds(co) && are_flags(co, edges.shape.rows), "reach_sources");
    OwnTensor sources = device.empty(torch::api.dtype_bool(), {edges.shape.groups * edges.shape.columns});
    cuda::reach_sources(edges, bytes_of(co), mutable_bytes(sources), device.stream());
    check_launch("reach_sources");
    stack[0] = sources.release();
}

// count_consistent(Tensor weight, SymInt[] size, Tensor live, Tensor co, SymInt groups) -> Tensor
void count_consistent(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor weight(stack[0]), live(stack[2]), co(stack[3]);
    const std::vector<Value> size = torch::take_list(stack[1]);
    const OnDevice device(weight);
    Edges edges{};
    const bool good = read_edges(weight, size, static_cast<Index>(stack[4]), edges) && device.holds(live) &&
                      device.holds(co) && are_flags(co, edges.shape.rows);
    require(good && are_flags(live, edges.shape.groups * edges.shape.columns), "count_consistent");
    OwnTensor count = device.empty(torch::api.dtype_int64(), {});
    cuda::count_consistent(edges, bytes_of(live), bytes_of(co), mutable_data_of<Index>(count), device.stream());
    check_launch("count_consistent");
    stack[0] = count.release();
}

}  // namespace

void implement_reach(const Registry& cuda) {
    cuda.add("reach_targets", reach_targets);
    cuda.add("reach_sources", reach_sources);
    cuda.add("count_consistent", count_consistent);
}

}  // namespace prune_adapters::cuda
