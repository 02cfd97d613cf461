// The convolutions of channel pairs and of single taps, for tensors on CUDA.
#include "../conv.hpp"

#include "../../operators/conv_arguments.hpp"
#include "../torch_cuda.hpp"
#include "operators.hpp"

namespace prune_adapters::cuda {
namespace {

using torch::OwnTensor;
using torch::Value;

bool fits(ConvCall& call, const OnDevice& device, Number& number) {
    return is_number(call.x.dtype(), number) &&
           call.fits([&](const OwnTensor& tensor) { return device.holds(tensor); });
}

// name(Tensor x, Tensor values, Tensor? bias, <tables>, <window>) -> Tensor
template <ConvFamily family>
void forward(Value* stack, std::uint64_t, std::uint64_t) {
    ConvCall call(family, stack, true);
    const OnDevice device(call.x);
    Number number;
    require(fits(call, device, number), name_of(family));
    OwnTensor y = device.empty(call.x.dtype(), call.out_sizes());
    conv_forward(number, {call.tables, call.window, call.batch}, call.x.data(), call.values.data(),
                 call.bias ? call.bias.data() : nullptr, y.mutable_data(), device.stream());
    check_launch(name_of(family));
    stack[0] = y.release();
}

// name_backward(Tensor grad, Tensor x, Tensor values, <tables>, <window>, bool[3] needs) -> (Tensor, Tensor, Tensor)
template <ConvFamily family>
void backward(Value* stack, std::uint64_t n_arguments, std::uint64_t) {
    const OwnTensor grad(stack[0]);
    const std::vector<bool> needs = torch::take_flags(stack[n_arguments - 1]);
    ConvCall call(family, stack + 1, false);
    const OnDevice device(call.x);
    const std::string name = std::string(name_of(family)) + "_backward";
    Number number;
    const bool good = fits(call, device, number) && needs.size() == 3 && device.holds(grad) &&
                      is_plain(grad, 4, call.x.dtype()) && sizes_of(grad) == call.out_sizes();
    require(good, name.c_str());
    const Conv conv{call.tables, call.window, call.batch};
    Gradients found(device, call.x.dtype(), needs, sizes_of(call.x), sizes_of(call.values), call.channels());
    if (needs[0])
        conv_input_gradient(number, conv, grad.data(), call.values.data(), found.x.mutable_data(), device.stream());
    if (needs[1])
        conv_value_gradient(number, conv, grad.data(), call.x.data(), found.values.mutable_data(), device.stream());
    if (needs[2])
        conv_bias_gradient(number, call.batch, call.channels(), call.window.rows.out * call.window.columns.out,
                           grad.data(), found.bias.mutable_data(), device.stream());
    check_launch(name.c_str());
    found.release(stack);
}

}  // namespace

void implement_conv(const Registry& cuda) {
    cuda.add("pair_conv2d", forward<ConvFamily::pairs>);
    cuda.add("pair_conv2d_backward", backward<ConvFamily::pairs>);
    cuda.add("sparse_conv2d", forward<ConvFamily::taps>);
    cuda.add("sparse_conv2d_backward", backward<ConvFamily::taps>);
}

}  // namespace prune_adapters::cuda
