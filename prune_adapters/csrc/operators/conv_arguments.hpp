// What the convolutions ask of their arguments, on any device. The three families differ in their tables only.
#pragma once

#include <algorithm>

#include "../conv_tables.hpp"
#include "arguments.hpp"

namespace prune_adapters {

enum class ConvFamily { pairs, taps, blocks };

constexpr Index largest_table = (Index{1} << 31) - 1;  // what int32 tables count to

inline const char* name_of(ConvFamily family) {
    return family == ConvFamily::pairs ? "pair_conv2d" : family == ConvFamily::taps ? "sparse_conv2d" : "block_conv2d";
}

inline std::vector<Index> take_numbers(torch::Value value) {
    const std::vector<torch::Value> values = torch::take_list(value);
    return {values.begin(), values.end()};
}

inline bool is_plain(const torch::OwnTensor& tensor, Index dim, std::int32_t dtype) {
    return tensor.is_contiguous() && tensor.dim() == dim && tensor.dtype() == dtype;
}

inline std::vector<torch::Size> sizes_of(const torch::OwnTensor& tensor) {
    return {tensor.sizes(), tensor.sizes() + tensor.dim()};
}

// Every argument but the gradient. It owns what torch has passed, whatever is wrong with it.
class ConvCall {
public:
    // The stack of the operator from x on; the backward operators have no bias.
    ConvCall(ConvFamily family, const torch::Value* stack, bool with_bias)
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
        kernel = family == ConvFamily::taps ? take_numbers(*stack++) : std::vector<Index>{};
        stride = take_numbers(stack[0]);
        padding = take_numbers(stack[1]);
        dilation = take_numbers(stack[2]);
    }

    // Whether all tensors are where here(tensor) says and the sizes fit; fills in tables and window. The dtype of x is
    // for the caller to look at.
    template <class Here>
    bool fits(const Here& here) {
        for (const torch::OwnTensor* tensor : {&x, &values, &ptr, &idx, &t_ptr, &t_idx, &t_perm})
            if (!here(*tensor)) return false;
        if (bias && !here(bias)) return false;
        if (!is_plain(x, 4, x.dtype()) || !fit_tables()) return false;
        batch = x.sizes()[0];
        if (x.sizes()[1] != tables.inputs * tables.in_block || !fit_axes()) return false;
        return !bias || has_form(bias, x.dtype(), {channels()});
    }

    Index channels() const { return tables.outputs * tables.out_block; }
    Index places() const { return tables.by_taps ? tables.kh * tables.kw : 1; }  // of an input channel, in idx
    std::vector<torch::Size> out_sizes() const { return {batch, channels(), window.rows.out, window.columns.out}; }

    const ConvFamily family;
    const torch::OwnTensor x, values;
    const torch::OwnTensor bias;  // or none
    const torch::OwnTensor ptr, idx, t_ptr, t_idx, t_perm;
    ConvTables tables{};
    Window window{};
    Index batch = 0;

private:
    bool fit_tables() {
        const std::int32_t int32 = torch::api.dtype_int32();
        for (const torch::OwnTensor* table : {&ptr, &idx, &t_ptr, &t_idx, &t_perm})
            if (!is_plain(*table, 1, int32)) return false;
        const Index dim = family == ConvFamily::pairs ? 3 : family == ConvFamily::taps ? 1 : 5, count = idx.numel();
        if (!is_plain(values, dim, x.dtype()) || values.sizes()[0] != count) return false;
        if (ptr.numel() < 1 || t_ptr.numel() < 1 || t_idx.numel() != count || t_perm.numel() != count) return false;
        if (family == ConvFamily::taps && kernel.size() != 2) return false;
        const auto data = [](const torch::OwnTensor& table) { return static_cast<const std::int32_t*>(table.data()); };
        tables = {data(ptr), data(idx), data(t_ptr), data(t_idx), data(t_perm), ptr.numel() - 1, t_ptr.numel() - 1,
                  count, 0, 0, 1, 1, family == ConvFamily::taps};
        const Index* size = values.sizes() + dim - 2;
        if (family == ConvFamily::taps) size = kernel.data();
        tables.kh = size[0];
        tables.kw = size[1];
        if (family == ConvFamily::blocks) {
            tables.out_block = values.sizes()[1];
            tables.in_block = values.sizes()[2];
        }
        return fit_32_bits();
    }

    bool fit_32_bits() const {
        const Index sizes[] = {tables.kh, tables.kw, tables.out_block, tables.in_block};
        for (const Index size : sizes)
            if (size < 1 || size > largest_table) return false;
        Index all = std::max({tables.count, tables.outputs, tables.inputs, Index{1}});
        for (const Index size : sizes) {
            if (all > largest_table / size) return false;
            all *= size;
        }
        return true;
    }

    bool fit_axes() {
        const Index taps[] = {tables.kh, tables.kw};
        Axis* axes[] = {&window.rows, &window.columns};
        for (const auto* numbers : {&stride, &padding, &dilation})
            if (numbers->size() != 2 || *std::min_element(numbers->begin(), numbers->end()) < 0 ||
                *std::max_element(numbers->begin(), numbers->end()) > largest_table)
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

}  // namespace prune_adapters
