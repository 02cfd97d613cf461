// The linear operators, for tensors on CUDA.
#include "../torch_cuda.hpp"
#include "operators.hpp"

namespace prune_adapters::cuda {
namespace {

using torch::OwnTensor;
using torch::Value;

// ptr (n_panels, rows + 1) and idx (count,) as a matrix with so many columns; false if they do not fit.
bool as_csr(const OnDevice& device, const OwnTensor& ptr, const OwnTensor& idx, Index columns, Index panel, Csr* matrix) {
    constexpr Index most = 0x7fffffff;
    if (!device.holds_array(ptr, torch::api.dtype_int32(), {-1, -1})) return false;
    if (!device.holds_array(idx, torch::api.dtype_int16(), {-1})) return false;
    const Index n_panels = ptr.sizes()[0], rows = ptr.sizes()[1] - 1;
    if (columns < 0 || columns > most || rows < 0 || rows > most - 1 || panel < 1 || panel > 32768) return false;
    if (n_panels != columns / panel + (columns % panel > 0) || idx.numel() > most) return false;
    const auto as_int = [](Index size) { return static_cast<int>(size); };
    *matrix = {data_of<std::int32_t>(ptr), data_of<std::int16_t>(idx), nullptr, as_int(rows), as_int(columns),
               as_int(panel), as_int(n_panels), idx.numel()};
    return true;
}

// A matrix (batch, features) as the kernels read it: as it is, or turned where the batch is not small.
class Turned {
public:
    Turned(const OnDevice& device, const OwnTensor& matrix) : own(0), from(matrix.data()) {
        const Index batch = matrix.sizes()[0], features = matrix.sizes()[1];
        if (batch <= few_rows) return;
        own = device.empty(matrix.dtype(), {features, batch});
        const auto size = static_cast<int>(torch::api.element_size(matrix.dtype()));
        transpose(size, from, own.mutable_data(), batch, features, device.stream());
        from = own.data();
    }
    const void* data() const { return from; }

private:
    OwnTensor own;
    const void* from;
};

// csr_linear(Tensor x, Tensor values, Tensor? bias, Tensor ptr, Tensor idx, Tensor t_ptr, Tensor t_idx, Tensor t_perm,
//            int in_features, int panel, int t_panel) -> Tensor
void csr_linear(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor x(stack[0]), values(stack[1]), bias(take_optional(stack[2])), ptr(stack[3]), idx(stack[4]);
    const OwnTensor t_ptr(stack[5]), t_idx(stack[6]), t_perm(stack[7]);
    const auto in_features = static_cast<Index>(stack[8]), panel = static_cast<Index>(stack[9]);
    const OnDevice device(x);
    const std::int32_t dtype = x.dtype();
    Number number;
    Csr matrix;
    const bool good = is_number(dtype, number) && as_csr(device, ptr, idx, in_features, panel, &matrix) &&
                      device.holds_array(x, dtype, {-1, in_features}) &&
                      device.holds_array(values, dtype, {matrix.n_values}) &&
                      (!bias || device.holds_array(bias, dtype, {matrix.rows}));
    require(good, "csr_linear");
    const Index batch = x.sizes()[0];
    OwnTensor y = device.empty(dtype, {batch, matrix.rows});
    const Turned turned(device, x);
    csr_multiply(number, matrix, values.data(), turned.data(), bias ? bias.data() : nullptr, y.mutable_data(), batch,
                 device.stream());
    check_launch("csr_linear");
    stack[0] = y.release();
}

// csr_linear_backward(Tensor grad, Tensor x, Tensor values, Tensor ptr, Tensor idx, Tensor t_ptr, Tensor t_idx,
//                     Tensor t_perm, int panel, int t_panel, bool[3] needs) -> (Tensor, Tensor, Tensor)
void csr_linear_backward(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor grad(stack[0]), x(stack[1]), values(stack[2]), ptr(stack[3]), idx(stack[4]), t_ptr(stack[5]);
    const OwnTensor t_idx(stack[6]), t_perm(stack[7]);
    const auto panel = static_cast<Index>(stack[8]), t_panel = static_cast<Index>(stack[9]);
    const std::vector<bool> needs = torch::take_flags(stack[10]);
    const OnDevice device(grad);
    const std::int32_t dtype = grad.dtype();
    Number number;
    require(needs.size() == 3 && is_number(dtype, number) && device.holds_array(grad, dtype, {-1, -1}) &&
                device.holds_array(x, dtype, {grad.sizes()[0], -1}),
            "csr_linear_backward");
    const Index batch = grad.sizes()[0], rows = grad.sizes()[1], columns = x.sizes()[1];
    Csr matrix, turned;
    const bool good = as_csr(device, ptr, idx, columns, panel, &matrix) && matrix.rows == rows &&
                      as_csr(device, t_ptr, t_idx, rows, t_panel, &turned) && turned.rows == columns &&
                      turned.n_values == matrix.n_values &&
                      device.holds_array(t_perm, torch::api.dtype_int32(), {matrix.n_values}) &&
                      device.holds_array(values, dtype, {matrix.n_values});
    require(good, "csr_linear_backward");
    turned.perm = data_of<std::int32_t>(t_perm);
    Gradients found(device, dtype, needs, {batch, columns}, {matrix.n_values}, rows);
    if (needs[0] || needs[1]) {
        const Turned own(device, grad);
        if (needs[0])
            csr_multiply(number, turned, values.data(), own.data(), nullptr, found.x.mutable_data(), batch,
                         device.stream());
        if (needs[1]) {
            const Turned with(device, x);
            csr_products(number, matrix, own.data(), with.data(), found.values.mutable_data(), batch, device.stream());
        }
    }
    if (needs[2]) sum_rows(number, grad.data(), found.bias.mutable_data(), batch, rows, device.stream());
    check_launch("csr_linear_backward");
    found.release(stack);
}

// sddmm(Tensor grad, Tensor x, Tensor ptr, Tensor idx, int panel) -> Tensor
void sddmm(Value* stack, std::uint64_t, std::uint64_t) {
    const OwnTensor grad(stack[0]), x(stack[1]), ptr(stack[2]), idx(stack[3]);
    const auto panel = static_cast<Index>(stack[4]);
    const OnDevice device(grad);
    const std::int32_t dtype = grad.dtype();
    Number number;
    require(is_number(dtype, number) && device.holds_array(grad, dtype, {-1, -1}) &&
                device.holds_array(x, dtype, {grad.sizes()[0], -1}),
            "sddmm");
    Csr matrix;
    require(as_csr(device, ptr, idx, x.sizes()[1], panel, &matrix) && matrix.rows == grad.sizes()[1], "sddmm");
    OwnTensor found = device.empty(dtype, {matrix.n_values});
    const Turned own(device, grad), with(device, x);
    csr_products(number, matrix, own.data(), with.data(), found.mutable_data(), grad.sizes()[0], device.stream());
    check_launch("sddmm");
    stack[0] = found.release();
}

}  // namespace

void implement_linear(const Registry& cuda) {
    cuda.add("csr_linear", csr_linear);
    cuda.add("csr_linear_backward", csr_linear_backward);
    cuda.add("sddmm", sddmm);
}

}  // namespace prune_adapters::cuda
