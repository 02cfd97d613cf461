// The linear operators, for tensors on the CPU.
#include "../blocks.hpp"
#include "../panels.hpp"
#include "../scratch.hpp"
#include "arguments.hpp"

namespace prune_adapters {
namespace {

using torch::OwnTensor;
using torch::Size;
using torch::Value;

constexpr Size most_elements = 0x7fffffff;

// ptr (n_panels, rows + 1) and idx (count,) as a matrix with so many columns; an empty one where they do not fit.
bool as_panels(const OwnTensor& ptr, const OwnTensor& idx, Size columns, Size panel, Panels* matrix) {
    if (!is_array(ptr, torch::api.dtype_int32(), {-1, -1}) || !is_array(idx, torch::api.dtype_int16(), {-1}))
        return false;
    const Size n_panels = ptr.sizes()[0], rows = ptr.sizes()[1] - 1, count = idx.numel();
    if (columns < 0 || rows < 0 || panel < 1 || panel > 32768 || count > most_elements) return false;
    if (n_panels != columns / panel + (columns % panel > 0)) return false;
    *matrix = {data_of<std::int32_t>(ptr), data_of<std::uint16_t>(idx), n_panels, rows, columns, panel, count};
    return true;
}

// csr_linear(Tensor x, Tensor values, Tensor? bias, Tensor ptr, Tensor idx, Tensor t_ptr, Tensor t_idx, Tensor t_perm,
//            int in_features, int panel, int t_panel) -> Tensor
void csr_linear(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor x(stack[0]), values(stack[1]), bias(take_optional(stack[2])), ptr(stack[3]), idx(stack[4]);
    const OwnTensor t_ptr(stack[5]), t_idx(stack[6]), t_perm(stack[7]);
    const auto in_features = static_cast<Size>(stack[8]), panel = static_cast<Size>(stack[9]);
    Panels matrix;
    const std::int32_t dtype = x.dtype();
    bool good = is_float(dtype) && as_panels(ptr, idx, in_features, panel, &matrix) &&
                is_array(x, dtype, {-1, in_features}) && is_array(values, dtype, {matrix.count}) &&
                (!bias || is_array(bias, dtype, {matrix.rows}));
    require(good, "csr_linear");
    const Size batch = x.sizes()[0];
    OwnTensor y = torch::empty(dtype, {batch, matrix.rows});
    good = with_type(dtype, [&](auto zero) {
        using T = decltype(zero);
        return multiply(matrix, data_of<T>(values), bias ? data_of<T>(bias) : nullptr, data_of<T>(x), batch,
                        mutable_data_of<T>(y));
    });
    require(good, "csr_linear");
    stack[0] = y.release();
}

// The gradients of the linear operators; those that nobody needs have no elements.
struct Gradients {
    OwnTensor x, values, bias;

    Gradients(std::int32_t dtype, const bool* needs, Size batch, Size columns, Size rows,
              const std::vector<Size>& values_sizes)
        : x(torch::empty(dtype, needs[0] ? std::vector<Size>{batch, columns} : nothing)),
          values(torch::empty(dtype, needs[1] ? values_sizes : nothing)),
          bias(torch::empty(dtype, needs[2] ? std::vector<Size>{rows} : nothing)) {}

    void release(Value* stack) {
        stack[0] = x.release();
        stack[1] = values.release();
        stack[2] = bias.release();
    }

private:
    inline static const std::vector<Size> nothing{0};
};

// csr_linear_backward(Tensor grad, Tensor x, Tensor values, Tensor ptr, Tensor idx, Tensor t_ptr, Tensor t_idx,
//                     Tensor t_perm, int panel, int t_panel, bool[3] needs) -> (Tensor, Tensor, Tensor)
void csr_linear_backward(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor grad(stack[0]), x(stack[1]), values(stack[2]), ptr(stack[3]), idx(stack[4]), t_ptr(stack[5]);
    const OwnTensor t_idx(stack[6]), t_perm(stack[7]);
    const auto panel = static_cast<Size>(stack[8]), t_panel = static_cast<Size>(stack[9]);
    const std::vector<bool> needed = torch::take_flags(stack[10]);
    const std::int32_t dtype = x.dtype();
    require(needed.size() == 3 && is_float(dtype) && is_array(x, dtype, {-1, -1}), "csr_linear_backward");
    const bool needs[] = {needed[0], needed[1], needed[2]};
    const Size batch = x.sizes()[0], columns = x.sizes()[1];
    Panels matrix, transposed;
    bool good = as_panels(ptr, idx, columns, panel, &matrix) &&
                as_panels(t_ptr, t_idx, matrix.rows, t_panel, &transposed) && transposed.rows == columns &&
                transposed.count == matrix.count && is_array(t_perm, torch::api.dtype_int32(), {matrix.count}) &&
                is_array(values, dtype, {matrix.count}) && is_array(grad, dtype, {batch, matrix.rows});
    require(good, "csr_linear_backward");
    Gradients found(dtype, needs, batch, columns, matrix.rows, {matrix.count});
    good = with_type(dtype, [&](auto zero) {
        using T = decltype(zero);
        const T* g = data_of<T>(grad);
        bool fits = true;
        if (needs[0]) {
            T* t_values = scratch<T, 4>(matrix.count);
            fits = permute(data_of<T>(values), data_of<std::int32_t>(t_perm), matrix.count, t_values) &&
                   multiply<T>(transposed, t_values, nullptr, g, batch, mutable_data_of<T>(found.x));
        }
        if (needs[1]) fits = fits && dots(matrix, g, data_of<T>(x), batch, mutable_data_of<T>(found.values));
        if (needs[2]) sum_rows(g, batch, matrix.rows, mutable_data_of<T>(found.bias));
        return fits;
    });
    require(good, "csr_linear_backward");
    found.release(stack);
}

// sddmm(Tensor grad, Tensor x, Tensor ptr, Tensor idx, int panel) -> Tensor
void sddmm(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor grad(stack[0]), x(stack[1]), ptr(stack[2]), idx(stack[3]);
    const auto panel = static_cast<Size>(stack[4]);
    const std::int32_t dtype = x.dtype();
    require(is_float(dtype) && is_array(x, dtype, {-1, -1}), "sddmm");
    Panels matrix;
    const Size batch = x.sizes()[0];
    require(as_panels(ptr, idx, x.sizes()[1], panel, &matrix) && is_array(grad, dtype, {batch, matrix.rows}), "sddmm");
    OwnTensor found = torch::empty(dtype, {matrix.count});
    const bool good = with_type(dtype, [&](auto zero) {
        using T = decltype(zero);
        return dots(matrix, data_of<T>(grad), data_of<T>(x), batch, mutable_data_of<T>(found));
    });
    require(good, "sddmm");
    stack[0] = found.release();
}

// Whether two sizes have a product that other sums cannot take out of range.
bool is_product(Size a, Size b) { return a <= most_elements && b <= most_elements && a * b <= most_elements; }

// ptr (rows + 1), idx (count,) as a matrix of blocks of values (count, height, width), for `columns` block columns.
bool as_blocks(const OwnTensor& ptr, const OwnTensor& idx, Size columns, Size height, Size width, Blocks* matrix) {
    if (!is_array(ptr, torch::api.dtype_int32(), {-1}) || !is_array(idx, torch::api.dtype_int32(), {-1})) return false;
    const Size rows = ptr.numel() - 1, count = idx.numel();
    if (rows < 0 || columns < 0 || count > most_elements) return false;
    *matrix = {data_of<std::int32_t>(ptr), data_of<std::int32_t>(idx), rows, columns, height, width, count};
    return is_product(rows, height) && is_product(columns, width);
}

// The matrix of the operators, and its transpose, whose blocks have their values at `places`.
struct BlockTables {
    Blocks matrix, transposed;
    const std::int32_t* places;
};

bool as_block_tables(const OwnTensor& values, const OwnTensor& ptr, const OwnTensor& idx, const OwnTensor& t_ptr,
                     const OwnTensor& t_idx, const OwnTensor& t_perm, BlockTables* tables) {
    if (!is_array(values, values.dtype(), {-1, -1, -1}) || ptr.dim() != 1 || t_ptr.dim() != 1) return false;
    const Size count = values.sizes()[0], height = values.sizes()[1], width = values.sizes()[2];
    if (!as_blocks(ptr, idx, t_ptr.numel() - 1, height, width, &tables->matrix) ||
        !as_blocks(t_ptr, t_idx, ptr.numel() - 1, width, height, &tables->transposed) ||
        !is_array(t_perm, torch::api.dtype_int32(), {count}))
        return false;
    tables->places = data_of<std::int32_t>(t_perm);
    return tables->matrix.count == count && tables->transposed.count == count;
}

// block_linear(Tensor x, Tensor values, Tensor? bias, Tensor ptr, Tensor idx, Tensor t_ptr, Tensor t_idx,
//              Tensor t_perm) -> Tensor
void block_linear(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor x(stack[0]), values(stack[1]), bias(take_optional(stack[2])), ptr(stack[3]), idx(stack[4]);
    const OwnTensor t_ptr(stack[5]), t_idx(stack[6]), t_perm(stack[7]);
    const std::int32_t dtype = x.dtype();
    BlockTables tables;
    require(is_float_or_bfloat16(dtype) && values.dtype() == dtype &&
                as_block_tables(values, ptr, idx, t_ptr, t_idx, t_perm, &tables),
            "block_linear");
    const Blocks& matrix = tables.matrix;
    const Size n_rows = matrix.rows * matrix.height;
    bool good = is_array(x, dtype, {-1, matrix.columns * matrix.width}) &&
                (!bias || is_array(bias, dtype, {n_rows}));
    require(good, "block_linear");
    OwnTensor y = torch::empty(dtype, {x.sizes()[0], n_rows});
    good = with_any_type(dtype, [&](auto zero) {
        using T = decltype(zero);
        return multiply<T>(matrix, nullptr, data_of<T>(values), bias ? data_of<T>(bias) : nullptr, data_of<T>(x),
                           x.sizes()[0], mutable_data_of<T>(y));
    });
    require(good, "block_linear");
    stack[0] = y.release();
}

// block_linear_backward(Tensor grad, Tensor x, Tensor values, Tensor ptr, Tensor idx, Tensor t_ptr, Tensor t_idx,
//                       Tensor t_perm, bool[3] needs) -> (Tensor, Tensor, Tensor)
void block_linear_backward(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor grad(stack[0]), x(stack[1]), values(stack[2]), ptr(stack[3]), idx(stack[4]), t_ptr(stack[5]);
    const OwnTensor t_idx(stack[6]), t_perm(stack[7]);
    const std::vector<bool> needed = torch::take_flags(stack[8]);
    const std::int32_t dtype = x.dtype();
    BlockTables tables;
    require(needed.size() == 3 && is_float_or_bfloat16(dtype) && values.dtype() == dtype &&
                as_block_tables(values, ptr, idx, t_ptr, t_idx, t_perm, &tables),
            "block_linear_backward");
    const bool needs[] = {needed[0], needed[1], needed[2]};
    const Blocks& matrix = tables.matrix;
    const Size n_rows = matrix.rows * matrix.height, n_columns = matrix.columns * matrix.width;
    require(is_array(x, dtype, {-1, n_columns}) && is_array(grad, dtype, {x.sizes()[0], n_rows}),
            "block_linear_backward");
    const Size batch = x.sizes()[0];
    Gradients found(dtype, needs, batch, n_columns, n_rows, {matrix.count, matrix.height, matrix.width});
    const bool good = with_any_type(dtype, [&](auto zero) {
        using T = decltype(zero);
        const T* g = data_of<T>(grad);
        bool fits = true;
        if (needs[0])
            fits = multiply<T>(tables.transposed, tables.places, data_of<T>(values), nullptr, g, batch,
                               mutable_data_of<T>(found.x));
        if (needs[1]) fits = fits && outer(matrix, g, data_of<T>(x), batch, mutable_data_of<T>(found.values));
        if (needs[2]) sum_rows(g, batch, n_rows, mutable_data_of<T>(found.bias));
        return fits;
    });
    require(good, "block_linear_backward");
    found.release(stack);
}

}  // namespace

void implement_linear(const Registry& cpu) {
    cpu.add("csr_linear", csr_linear);
    cpu.add("csr_linear_backward", csr_linear_backward);
    cpu.add("sddmm", sddmm);
    cpu.add("block_linear", block_linear);
    cpu.add("block_linear_backward", block_linear_backward);
}

}  // namespace prune_adapters
