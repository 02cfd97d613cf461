// Selection among the elements of many tensors, for tensors on the CPU.
#include <cstring>

#include "../elements.hpp"
#include "../select.hpp"
#include "../tensors.hpp"
#include "mask_arguments.hpp"
#include "operators.hpp"

namespace prune_adapters {
namespace {

using torch::OwnTensor;
using torch::Value;

struct Arguments {
    std::vector<OwnTensor> tensors, candidates;
    Index k;
    bool magnitude;
    Element element = Element::float32;
    std::vector<Competitors> competitors;

    explicit Arguments(const Value* stack)
        : tensors(torch::take_tensors(stack[0])),
          candidates(torch::take_tensors(stack[1])),
          k(static_cast<Index>(stack[2])),
          magnitude(static_cast<bool>(stack[3])) {}

    // Whether all tensors are of one float dtype and, as the bits, in one piece each.
    bool fit() {
        if (tensors.empty() || (!candidates.empty() && candidates.size() != tensors.size())) return false;
        if (k < 0 || !is_float(tensors[0].dtype(), element)) return false;
        for (std::size_t i = 0; i < tensors.size(); ++i) {
            const OwnTensor& own = tensors[i];
            if (!own.on_cpu() || own.dtype() != tensors[0].dtype() || !own.is_contiguous()) return false;
            const std::uint8_t* bits = nullptr;
            if (!candidates.empty()) {
                if (!candidates[i].on_cpu() || !are_bits(candidates[i], own.numel())) return false;
                bits = static_cast<const std::uint8_t*>(candidates[i].data());
            }
            competitors.push_back({static_cast<const char*>(own.data()), bits, own.numel()});
        }
        return true;
    }

    OwnTensor number(const Bound& bound) const {
        OwnTensor made = torch::empty(tensors[0].dtype(), {});
        const FloatFormat& format = format_of(element);
        Key key = bound.value;
        if (bound.kind == Bound::lowest) key = -format.infinity;
        if (bound.kind == Bound::nan) key = format.infinity | format.infinity >> 1;
        const std::uint64_t bits = bits_of(element, key);
        std::memcpy(made.mutable_data(), &bits, std::size_t{1} << format.log_size);
        return made;
    }
};

// kth_largest(Tensor[] tensors, Tensor[] candidates, SymInt k, bool magnitude) -> Tensor
void kth_largest(Value* stack, std::uint64_t, std::uint64_t) {
    Arguments given(stack);
    require(given.fit(), "kth_largest");
    const Selection selection(given.competitors, given.element, given.magnitude);
    stack[0] = given.number(selection.kth_largest(given.k)).release();
}

// keep_largest(Tensor[] scores, Tensor[] candidates, SymInt keep, bool magnitude) -> (Tensor[], Tensor)
void keep_largest(Value* stack, std::uint64_t, std::uint64_t) {
    Arguments given(stack);
    require(given.fit(), "keep_largest");
    std::vector<OwnTensor> kept;
    std::vector<std::uint8_t*> bits;
    for (const OwnTensor& own : given.tensors) {
        kept.push_back(torch::empty(torch::api.dtype_uint8(), {(own.numel() + 7) / 8}));
        bits.push_back(static_cast<std::uint8_t*>(kept.back().mutable_data()));
    }
    const Selection selection(given.competitors, given.element, given.magnitude);
    const Bound bound = selection.kth_largest(given.k);
    selection.mark_largest(given.k, bound, bits);
    OwnTensor number = given.number(bound);
    stack[0] = torch::give_tensors(std::move(kept));
    stack[1] = number.release();
}

}  // namespace

void implement_threshold(const Registry& cpu) {
    cpu.add("kth_largest", kth_largest);
    cpu.add("keep_largest", keep_largest);
}

}  // namespace prune_adapters
