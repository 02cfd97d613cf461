// The convolutions, for tensors on the CPU.
#include "../conv.hpp"

#include "conv_arguments.hpp"

namespace prune_adapters {
namespace {

using torch::OwnTensor;
using torch::Value;

// What tables point to is seen here only: Python would have to wait for a device.
void check_range(const std::string& where, const std::int32_t* values, Index count, Index limit) {
    const auto good = [limit](std::int32_t value) { return static_cast<std::uint32_t>(value) < limit; };
    bool all = true;
    for (Index k = 0; k < count; ++k) all &= good(values[k]);
    if (all) return;
    throw std::runtime_error("prune_adapters::" + where + " from 0 to " + std::to_string(limit - 1) + ", got " +
                             std::to_string(*std::find_if_not(values, values + count, good)));
}

void check_ascends(const std::string& where, const std::int32_t* ptr, Index groups, Index count) {
    bool good = ptr[0] == 0 && ptr[groups] == count;
    for (Index g = 0; g < groups; ++g) good &= ptr[g] <= ptr[g + 1];
    if (!good)
        throw std::runtime_error("prune_adapters::" + where + " to go up from 0 to " + std::to_string(count));
}

void check_rows(const ConvCall& call) {
    const std::string where = std::string(name_of(call.family)) + ": expected ";
    check_ascends(where + "ptr", call.tables.ptr, call.tables.outputs, call.tables.count);
    check_range(where + "idx", call.tables.idx, call.tables.count, call.tables.inputs * call.places());
}

void check_columns(const ConvCall& call) {
    const std::string where = std::string(name_of(call.family)) + ": expected ";
    check_ascends(where + "t_ptr", call.tables.t_ptr, call.tables.inputs, call.tables.count);
    check_range(where + "t_idx", call.tables.t_idx, call.tables.count, call.tables.outputs * call.places());
    check_range(where + "t_perm", call.tables.t_perm, call.tables.count, call.tables.count);
}

bool fits(ConvCall& call) {
    return is_float_or_bfloat16(call.x.dtype()) && call.fits([](const OwnTensor& tensor) { return tensor.on_cpu(); });
}

// name(Tensor x, Tensor values, Tensor? bias, <tables>, <window>) -> Tensor
template <ConvFamily family>
void forward(Value* stack, std::uint64_t, std::uint64_t) {
    ConvCall call(family, stack, true);
    require(fits(call), name_of(family));
    check_rows(call);
    OwnTensor y = torch::empty(call.x.dtype(), call.out_sizes());
    with_any_type(call.x.dtype(), [&](auto zero) {
        using T = decltype(zero);
        conv_forward(call.tables, call.window, call.batch, data_of<T>(call.x), data_of<T>(call.values),
                     call.bias ? data_of<T>(call.bias) : nullptr, mutable_data_of<T>(y));
    });
    stack[0] = y.release();
}

template <class T>
void gradients_of(const ConvCall& call, const OwnTensor& grad, const std::vector<Index>& needs, OwnTensor* found) {
    const T* from = data_of<T>(grad);
    const auto to = [found](int k) { return mutable_data_of<T>(found[k]); };
    if (needs[0]) conv_input_gradient(call.tables, call.window, call.batch, from, data_of<T>(call.values), to(0));
    if (needs[1]) conv_value_gradient(call.tables, call.window, call.batch, from, data_of<T>(call.x), to(1));
    const Index positions = call.window.rows.out * call.window.columns.out;
    if (needs[2]) conv_bias_gradient(call.batch, call.channels(), positions, from, to(2));
}

// name_backward(Tensor grad, Tensor x, Tensor values, <tables>, <window>, bool[3] needs) -> (Tensor, Tensor, Tensor)
template <ConvFamily family>
void backward(Value* stack, std::uint64_t n_arguments, std::uint64_t) {
    const OwnTensor grad(stack[0]);
    const std::vector<Index> needs = take_numbers(stack[n_arguments - 1]);
    ConvCall call(family, stack + 1, false);
    const std::string name = std::string(name_of(family)) + "_backward";
    const bool good = fits(call) && needs.size() == 3 && grad.on_cpu() && is_plain(grad, 4, call.x.dtype()) &&
                      sizes_of(grad) == call.out_sizes();
    require(good, name.c_str());
    if (needs[0]) check_columns(call);
    if (needs[1]) check_rows(call);
    const std::int32_t dtype = call.x.dtype();
    const std::vector<torch::Size> none{0};
    OwnTensor found[] = {torch::empty(dtype, needs[0] ? sizes_of(call.x) : none),
                         torch::empty(dtype, needs[1] ? sizes_of(call.values) : none),
                         torch::empty(dtype, needs[2] ? std::vector<torch::Size>{call.channels()} : none)};
    with_any_type(dtype, [&](auto zero) { gradients_of<decltype(zero)>(call, grad, needs, found); });
    for (int k = 0; k < 3; ++k) stack[k] = found[k].release();
}

}  // namespace

void implement_conv(const Registry& cpu) {
    cpu.add("pair_conv2d", forward<ConvFamily::pairs>);
    cpu.add("pair_conv2d_backward", backward<ConvFamily::pairs>);
    cpu.add("sparse_conv2d", forward<ConvFamily::taps>);
    cpu.add("sparse_conv2d_backward", backward<ConvFamily::taps>);
    cpu.add("block_conv2d", forward<ConvFamily::blocks>);
    cpu.add("block_conv2d_backward", backward<ConvFamily::blocks>);
}

}  // namespace prune_adapters
