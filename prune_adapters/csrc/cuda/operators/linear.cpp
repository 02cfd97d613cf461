// Sparse linear layers, for tensors on CUDA. Every sum is taken in the same order in each run.
#include "../torch_cuda.hpp"
#include "operators.hpp"

namespace prune_adapters::cuda {
namespace {

using torch::cuda_api;
using torch::OwnTensor;
using torch::Value;

// A missing tensor comes as a null pointer, one that is there as a pointer to its handle.
OwnTensor take_optional(Value value) {
    if (!value) return OwnTensor(0);
    auto* held = reinterpret_cast<Value*>(value);
    OwnTensor taken(*held);
    delete held;
    return taken;
}

bool is_plain(const OnDevice& device, const OwnTensor& tensor, std::int32_t dtype, Index dim) {
    return device.holds(tensor) && tensor.dtype() == dtype && tensor.dim() == dim && tensor.is_contiguous();
}

constexpr Index most = 0x7fffffff;

// The matrix (rows, columns) whose elements `idx` lists; `perm` of the values for the transposed one, or nullptr.
Csr matrix_of(const OnDevice& device, const OwnTensor& ptr, const OwnTensor& idx, const OwnTensor* perm, Index rows,
              Index columns, Index panel, const char* function) {
    require(is_plain(device, ptr, cuda_api.dtype_int32(), 2) && is_plain(device, idx, cuda_api.dtype_int16(), 1),
            function);
    require(panel > 0 && panel <= 32768 && rows < most && columns < most && ptr.sizes()[1] == rows + 1, function);
    require(ptr.sizes()[0] == (columns + panel - 1) / panel && idx.numel() <= most, function);
    if (perm) require(is_plain(device, *perm, cuda_api.dtype_int32(), 1) && perm->numel() == idx.numel(), function);
    return {static_cast<const std::int32_t*>(ptr.data()),
            static_cast<const std::int16_t*>(idx.data()),
            perm ? static_cast<const std::int32_t*>(perm->data()) : nullptr,
            static_cast<int>(rows),
            static_cast<int>(columns),
            static_cast<int>(panel),
            static_cast<int>(ptr.sizes()[0]),
            idx.numel()};
}

// What a kernel reads: a matrix (batch, features) as it is, or turned where the batch is not small.
class Turned {
public:
    Turned(const OnDevice& device, const OwnTensor& matrix) : own(0), from(matrix.data()) {
        const Index batch = matrix.sizes()[0], features = matrix.sizes()[1];
        if (batch <= few_rows) return;
        own = device.empty(matrix.dtype(), {features, batch});
        transpose(static_cast<int>(torch::api.element_size(matrix.dtype())), from, own.mutable_data(), batch, features,
                  device.stream());
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
    const char* name = "csr_linear";
    const OwnTensor x(stack[0]), values(stack[1]), bias = take_optional(stack[2]), ptr(stack[3]), idx(stack[4]),
        t_ptr(stack[5]), t_idx(stack[6]), t_perm(stack[7]);
    const OnDevice device(x);
    const std::int32_t dtype = x.dtype();
    Number number;
    require(is_number(dtype, number) && is_plain(device, x, dtype, 2) && is_plain(device, values, dtype, 1), name);
    require(ptr.dim() == 2 && ptr.sizes()[1] > 0 && x.sizes()[1] == static_cast<Index>(stack[8]), name);
    const Index batch = x.sizes()[0], rows = ptr.sizes()[1] - 1;
    const Csr matrix = matrix_of(device, ptr, idx, nullptr, rows, x.sizes()[1], static_cast<Index>(stack[9]), name);
    require(values.numel() == matrix.n_values, name);
    if (bias) require(is_plain(device, bias, dtype, 1) && bias.numel() == rows, name);
    OwnTensor y = device.empty(dtype, {batch, rows});
    const Turned turned(device, x);
    csr_multiply(number, matrix, values.data(), turned.data(), bias ? bias.data() : nullptr, y.mutable_data(), batch,
                 device.stream());
    check_launch(name);
    stack[0] = y.release();
}

// csr_linear_backward(Tensor grad, Tensor x, Tensor values, Tensor ptr, Tensor idx, Tensor t_ptr, Tensor t_idx,
//                     Tensor t_perm, int panel, int t_panel, bool[3] needs) -> (Tensor, Tensor, Tensor)
void csr_linear_backward(Value* stack, std::uint64_t, std::uint64_t) {
    const char* name = "csr_linear_backward";
    const OwnTensor grad(stack[0]), x(stack[1]), values(stack[2]), ptr(stack[3]), idx(stack[4]), t_ptr(stack[5]),
        t_idx(stack[6]), t_perm(stack[7]);
    const std::vector<Value> needs = torch::take_list(stack[10]);
    const OnDevice device(grad);
    const std::int32_t dtype = grad.dtype();
    Number number;
    require(is_number(dtype, number) && is_plain(device, grad, dtype, 2) && is_plain(device, x, dtype, 2) &&
                is_plain(device, values, dtype, 1) && needs.size() == 3,
            name);
    const Index batch = grad.sizes()[0], rows = grad.sizes()[1], columns = x.sizes()[1];
    require(x.sizes()[0] == batch, name);
    const Csr matrix = matrix_of(device, ptr, idx, nullptr, rows, columns, static_cast<Index>(stack[8]), name);
    const Csr turned = matrix_of(device, t_ptr, t_idx, &t_perm, columns, rows, static_cast<Index>(stack[9]), name);
    require(values.numel() == matrix.n_values && turned.n_values == matrix.n_values, name);
    const auto is_needed = [&](int k) { return (needs[static_cast<std::size_t>(k)] & 1) != 0; };
    const auto wanted = [&](int k, std::vector<Index> sizes) {
        return device.empty(dtype, is_needed(k) ? sizes : std::vector<Index>{0});
    };
    OwnTensor to_x = wanted(0, {batch, columns}), to_values = wanted(1, {matrix.n_values}), to_bias = wanted(2, {rows});
    if (is_needed(0) || is_needed(1)) {
        const Turned own(device, grad);
        if (is_needed(0))
            csr_multiply(number, turned, values.data(), own.data(), nullptr, to_x.mutable_data(), batch, device.stream());
        if (is_needed(1)) {
            const Turned with(device, x);
            csr_products(number, matrix, own.data(), with.data(), to_values.mutable_data(), batch, device.stream());
        }
    }
    if (is_needed(2)) sum_rows(number, grad.data(), to_bias.mutable_data(), batch, rows, device.stream());
    check_launch(name);
    stack[0] = to_x.release();
    stack[1] = to_values.release();
    stack[2] = to_bias.release();
}

// sddmm(Tensor grad, Tensor x, Tensor ptr, Tensor idx, int panel) -> Tensor
void sddmm(Value* stack, std::uint64_t, std::uint64_t) {
    const char* name = "sddmm";
    const OwnTensor grad(stack[0]), x(stack[1]), ptr(stack[2]), idx(stack[3]);
    const OnDevice device(grad);
    const std::int32_t dtype = grad.dtype();
    Number number;
    require(is_number(dtype, number) && is_plain(device, grad, dtype, 2) && is_plain(device, x, dtype, 2), name);
    const Index batch = grad.sizes()[0];
    require(x.sizes()[0] == batch, name);
    const Csr matrix =
        matrix_of(device, ptr, idx, nullptr, grad.sizes()[1], x.sizes()[1], static_cast<Index>(stack[4]), name);
    OwnTensor found = device.empty(dtype, {matrix.n_values});
    const Turned own(device, grad), with(device, x);
    csr_products(number, matrix, own.data(), with.data(), found.mutable_data(), batch, device.stream());
    check_launch(name);
    stack[0] = found.release();
}

}  // namespace

void implement_linear(const Registry& cuda) {
    cuda.add("csr_linear", csr_linear);
    cuda.add("csr_linear_backward", csr_linear_backward);
    cuda.add("sddmm", sddmm);
}

}  // namespace prune_adapters::cuda
