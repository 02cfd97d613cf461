// Selection among the elements of many tensors, for tensors on the CPU.
#include <cstring>

#include "../select.hpp"
#include "operators.hpp"
#include "threshold_arguments.hpp"

namespace prune_adapters {
namespace {

using torch::OwnTensor;
using torch::Value;

bool fit(SelectionArguments& given) {
    return given.fit([](const OwnTensor& tensor) { return tensor.on_cpu(); });
}

Selection selection_of(const SelectionArguments& given) {
    std::vector<Competitors> competitors;
    for (std::size_t i = 0; i < given.tensors.size(); ++i) {
        const OwnTensor& own = given.tensors[i];
        competitors.push_back({static_cast<const char*>(own.data()), given.bits(i), own.numel()});
    }
    return Selection(std::move(competitors), given.element, given.magnitude);
}

OwnTensor as_tensor(const SelectionArguments& given, const Bound& bound) {
    OwnTensor made = torch::empty(given.tensors[0].dtype(), {});
    const FloatFormat& format = format_of(given.element);
    Key key = bound.value;
    if (bound.kind == Bound::lowest) key = -format.infinity;
    if (bound.kind == Bound::nan) key = format.infinity | format.infinity >> 1;
    const std::uint64_t bits = bits_of(given.element, key);
    std::memcpy(made.mutable_data(), &bits, std::size_t{1} << format.log_size);
    return made;
}

// kth_largest(Tensor[] tensors, Tensor[] candidates, SymInt k, bool magnitude) -> Tensor
void kth_largest(Value* stack, std::uint64_t, std::uint64_t) {
    SelectionArguments given(stack);
    require(fit(given), "kth_largest");
    const Selection selection = selection_of(given);
    stack[0] = as_tensor(given, selection.kth_largest(given.k)).release();
}

// keep_largest(Tensor[] scores, Tensor[] candidates, SymInt keep, bool magnitude) -> (Tensor[], Tensor)
void keep_largest(Value* stack, std::uint64_t, std::uint64_t) {
    SelectionArguments given(stack);
    require(fit(given), "keep_largest");
    std::vector<OwnTensor> kept;
    std::vector<std::uint8_t*> bits;
    for (const OwnTensor& own : given.tensors) {
        kept.push_back(torch::empty(torch::api.dtype_uint8(), {(own.numel() + 7) / 8}));
        bits.push_back(static_cast<std::uint8_t*>(kept.back().mutable_data()));
    }
    const Selection selection = selection_of(given);
    const Bound bound = selection.kth_largest(given.k);
    selection.mark_largest(given.k, bound, bits);
    OwnTensor number = as_tensor(given, bound);
    stack[0] = torch::give_tensors(std::move(kept));
    stack[1] = number.release();
}

}  // namespace

void implement_threshold(const Registry& cpu) {
    cpu.add("kth_largest", kth_largest);
    cpu.add("keep_largest", keep_largest);
}

}  // namespace prune_adapters
