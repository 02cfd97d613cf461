// The convolutions, for tensors on the CPU. The three families differ in their tables only.
#include "../conv.hpp"

#include <algorithm>

#include "arguments.hpp"

namespace prune_adapters {
namespace {

using torch::OwnTensor;
using torch::Value;

enum class Family { pairs, taps, blocks };

constexpr Index largest = (Index{1} << 31) - 1;  // what int32 tables count to

const char* name_of(Family family) {
    return family == Family::pairs ? "pair_conv2d" : family == Family::taps ? "sparse_conv2d" : "block_conv2d";
}

std::vector<Index> take_numbers(Value value) {
    const std::vector<Value> values = torch::take_list(value);
    return {values.begin(), values.end()};
}

bool is_plain(const OwnTensor& tensor, Index dim, std::int32_t dtype) {
    return tensor.on_cpu() && tensor.is_contiguous() && tensor.dim() == dim && tensor.dtype() == dtype;
}

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

// Every argument but the gradient. It owns what torch has passed, whatever is wrong with it.
class Call {
public:
    // The stack of the operator from x on; the backward operators have no bias.
    Call(Family family, const Value* stack, bool with_bias)
        : family(family),
          x(stack[0]),
          values(stack[1]),
          bias(with_bias ? take_optional(stack[2]) : 0),
          ptr(stack[2 + with_bias]),
          idx(stack[3 + with_bias]),
          t_ptr(stack[4 + with_bias]),
          t_idx(stack[5 + with_bias]),
          t_perm(stack[6 + with_bias]) {
        stack += 7 + with_bias;
        kernel = family == Family::taps ? take_numbers(*stack++) : std::vector<Index>{};
        stride = take_numbers(stack[0]);
        padding = take_numbers(stack[1]);
        dilation = take_numbers(stack[2]);
    }

    // Whether the sizes fit; fills in tables and window.
    bool fits() {
        if (!x.on_cpu() || x.dim() != 4 || !x.is_contiguous() || !is_float(x.dtype()) || !fit_tables()) return false;
        batch = x.sizes()[0];
        if (x.sizes()[1] != tables.inputs * tables.in_block || !fit_axes()) return false;
        return !bias || is_array(bias, x.dtype(), {channels()});
    }

    void check_rows() const {
        const std::string where = std::string(name_of(family)) + ": expected ";
        check_ascends(where + "ptr", tables.ptr, tables.outputs, tables.count);
        check_range(where + "idx", tables.idx, tables.count, tables.inputs * places());
    }

    void check_columns() const {
        const std::string where = std::string(name_of(family)) + ": expected ";
        check_ascends(where + "t_ptr", tables.t_ptr, tables.inputs, tables.count);
        check_range(where + "t_idx", tables.t_idx, tables.count, tables.outputs * places());
        check_range(where + "t_perm", tables.t_perm, tables.count, tables.count);
    }

    Index channels() const { return tables.outputs * tables.out_block; }
    std::vector<torch::Size> out_sizes() const { return {batch, channels(), window.rows.out, window.columns.out}; }

    const Family family;
    const OwnTensor x, values;
    const OwnTensor bias;  // or none
    const OwnTensor ptr, idx, t_ptr, t_idx, t_perm;
    ConvTables tables{};
    Window window{};
    Index batch = 0;

private:
    Index places() const { return tables.by_taps ? tables.kh * tables.kw : 1; }

    bool fit_tables() {
        const std::int32_t int32 = torch::api.dtype_int32();
        for (const OwnTensor* table : {&ptr, &idx, &t_ptr, &t_idx, &t_perm})
            if (!is_plain(*table, 1, int32)) return false;
        const Index dim = family == Family::pairs ? 3 : family == Family::taps ? 1 : 5, count = idx.numel();
        if (!is_plain(values, dim, x.dtype()) || values.sizes()[0] != count) return false;
        if (ptr.numel() < 1 || t_ptr.numel() < 1 || t_idx.numel() != count || t_perm.numel() != count) return false;
        if (family == Family::taps && kernel.size() != 2) return false;
        const auto data = [](const OwnTensor& table) { return static_cast<const std::int32_t*>(table.data()); };
        tables = {data(ptr), data(idx), data(t_ptr), data(t_idx), data(t_perm), ptr.numel() - 1, t_ptr.numel() - 1,
                  count, 0, 0, 1, 1, family == Family::taps};
        const Index* size = values.sizes() + dim - 2;
        if (family == Family::taps) size = kernel.data();
        tables.kh = size[0];
        tables.kw = size[1];
        if (family == Family::blocks) {
            tables.out_block = values.sizes()[1];
            tables.in_block = values.sizes()[2];
        }
        return fit_32_bits();
    }

    bool fit_32_bits() const {
        const Index sizes[] = {tables.kh, tables.kw, tables.out_block, tables.in_block};
        for (const Index size : sizes)
            if (size < 1 || size > largest) return false;
        Index all = std::max({tables.count, tables.outputs, tables.inputs, Index{1}});
        for (const Index size : sizes) {
            if (all > largest / size) return false;
            all *= size;
        }
        return true;
    }

    bool fit_axes() {
        const Index taps[] = {tables.kh, tables.kw};
        Axis* axes[] = {&window.rows, &window.columns};
        for (const auto* numbers : {&stride, &padding, &dilation})
            if (numbers->size() != 2 || *std::min_element(numbers->begin(), numbers->end()) < 0 ||
                *std::max_element(numbers->begin(), numbers->end()) > largest)
                return false;
        for (int d = 0; d < 2; ++d) {
            const Index in = x.sizes()[2 + d];
            if (stride[d] < 1 || dilation[d] < 1 || in < 1 || (taps[d] - 1) * dilation[d] + 1 > in + 2 * padding[d])
                return false;
            *axes[d] = axis_of(in, taps[d], stride[d], padding[d], dilation[d]);
        }
        return true;
    }

    std::vector<Index> kernel, stride, padding, dilation;
};

// name(Tensor x, Tensor values, Tensor? bias, <tables>, <window>) -> Tensor
template <Family family>
void forward(Value* stack, std::uint64_t, std::uint64_t) {
    Call call(family, stack, true);
    require(call.fits(), name_of(family));
    call.check_rows();
    OwnTensor y = torch::empty(call.x.dtype(), call.out_sizes());
    with_type(call.x.dtype(), [&](auto zero) {
        using T = decltype(zero);
        conv_forward(call.tables, call.window, call.batch, data_of<T>(call.x), data_of<T>(call.values),
                     call.bias ? data_of<T>(call.bias) : nullptr, mutable_data_of<T>(y));
    });
    stack[0] = y.release();
}

std::vector<torch::Size> sizes_of(const OwnTensor& tensor) { return {tensor.sizes(), tensor.sizes() + tensor.dim()}; }

template <class T>
void gradients_of(const Call& call, const OwnTensor& grad, const std::vector<Index>& needs, OwnTensor* found) {
    const T* from = data_of<T>(grad);
    const auto to = [found](int k) { return mutable_data_of<T>(found[k]); };
    if (needs[0]) conv_input_gradient(call.tables, call.window, call.batch, from, data_of<T>(call.values), to(0));
    if (needs[1]) conv_value_gradient(call.tables, call.window, call.batch, from, data_of<T>(call.x), to(1));
    const Index positions = call.window.rows.out * call.window.columns.out;
    if (needs[2]) conv_bias_gradient(call.batch, call.channels(), positions, from, to(2));
}

// name_backward(Tensor grad, Tensor x, Tensor values, <tables>, <window>, bool[3] needs) -> (Tensor, Tensor, Tensor)
template <Family family>
void backward(Value* stack, std::uint64_t n_arguments, std::uint64_t) {
    const OwnTensor grad(stack[0]);
    const std::vector<Index> needs = take_numbers(stack[n_arguments - 1]);
    Call call(family, stack + 1, false);
    const std::string name = std::string(name_of(family)) + "_backward";
    const bool fits = call.fits() && needs.size() == 3 && is_plain(grad, 4, call.x.dtype()) &&
                      sizes_of(grad) == call.out_sizes();
    require(fits, name.c_str());
    if (needs[0]) call.check_columns();
    if (needs[1]) call.check_rows();
    const std::int32_t dtype = call.x.dtype();
    const std::vector<torch::Size> none{0};
    OwnTensor found[] = {torch::empty(dtype, needs[0] ? sizes_of(call.x) : none),
                         torch::empty(dtype, needs[1] ? sizes_of(call.values) : none),
                         torch::empty(dtype, needs[2] ? std::vector<torch::Size>{call.channels()} : none)};
    with_type(dtype, [&](auto zero) { gradients_of<decltype(zero)>(call, grad, needs, found); });
    for (int k = 0; k < 3; ++k) stack[k] = found[k].release();
}

}  // namespace

void implement_conv(const Registry& cpu) {
    cpu.add("pair_conv2d", forward<Family::pairs>);
    cpu.add("pair_conv2d_backward", backward<Family::pairs>);
    cpu.add("sparse_conv2d", forward<Family::taps>);
    cpu.add("sparse_conv2d_backward", backward<Family::taps>);
    cpu.add("block_conv2d", forward<Family::blocks>);
    cpu.add("block_conv2d_backward", backward<Family::blocks>);
}

}  // namespace prune_adapters
