// Selection among the elements of many tensors, for tensors on CUDA. The host learns nothing of the values.
#include "../../operators/threshold_arguments.hpp"
#include "../select.hpp"
#include "../torch_cuda.hpp"
#include "operators.hpp"

namespace prune_adapters::cuda {
namespace {

using torch::OwnTensor;
using torch::Value;

// The arguments, what the kernels see of them, their memory to work in, and the bound.
class Call {
public:
    Call(const Value* stack, const char* function) : given(stack), device(first(function)) {
        require(given.fit([this](const OwnTensor& tensor) { return device.holds(tensor); }), function);
        for (std::size_t i = 0; i < given.tensors.size(); ++i)
            ranked.push_back({given.tensors[i].data(), given.bits(i), nullptr, given.tensors[i].numel()});
        work = device.empty(torch::api.dtype_int64(), {selection_bytes(ranked) / 8});
        bound = device.empty(given.tensors[0].dtype(), {});
    }

    void find_bound() {
        kth_largest(given.element, ranked, given.k, given.magnitude, work.mutable_data(), bound.mutable_data(),
                    device.stream());
    }

    std::vector<OwnTensor> mark() {
        std::vector<OwnTensor> kept;
        for (Ranked& own : ranked) {
            kept.push_back(device.empty(torch::api.dtype_uint8(), {(own.count + 7) / 8}));
            own.kept = mutable_data_of<std::uint8_t>(kept.back());
        }
        mark_largest(given.element, ranked, given.magnitude, work.mutable_data(), device.stream());
        return kept;
    }

    Value release_bound() { return bound.release(); }

private:
    const OwnTensor& first(const char* function) const {
        require(!given.tensors.empty(), function);
        return given.tensors[0];
    }

    SelectionArguments given;
    OnDevice device;
    std::vector<Ranked> ranked;
    OwnTensor work{0}, bound{0};
};

// kth_largest(Tensor[] tensors, Tensor[] candidates, SymInt k, bool magnitude) -> Tensor
void kth_largest(Value* stack, std::uint64_t, std::uint64_t) {
    Call call(stack, "kth_largest");
    call.find_bound();
    check_launch("kth_largest");
    stack[0] = call.release_bound();
}

// keep_largest(Tensor[] scores, Tensor[] candidates, SymInt keep, bool magnitude) -> (Tensor[], Tensor)
void keep_largest(Value* stack, std::uint64_t, std::uint64_t) {
    Call call(stack, "keep_largest");
    call.find_bound();
    std::vector<OwnTensor> kept = call.mark();
    check_launch("keep_largest");
    stack[0] = torch::give_tensors(std::move(kept));
    stack[1] = call.release_bound();
}

}  // namespace

void implement_threshold(const Registry& cuda) {
    cuda.add("kth_largest", kth_largest);
    cuda.add("keep_largest", keep_largest);
}

}  // namespace prune_adapters::cuda
