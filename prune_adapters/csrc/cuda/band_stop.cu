// The band-stop mask, (1 - E) q with u = s w^2, E = exp(-u) and q = 1 / (1 + exp(s (a^2 - w^2))): its derivative by w
// is 2 s w q (E q + 1 - q). No infinity meets another one, however sharp the mask is.
#include "band_stop.hpp"

#include "numbers.cuh"

namespace prune_adapters::cuda {
namespace {

constexpr int block_size = 256;

template <class T>
__device__ __forceinline__ T read(const DeviceNumber& number) {
    return number.is_double ? static_cast<T>(*static_cast<const double*>(number.at))
                            : static_cast<T>(*static_cast<const float*>(number.at));
}

template <class T>
struct Psi {
    T mask, slope;

    __device__ Psi(T w, const DeviceNumber& threshold, const DeviceNumber& sharpness) {
        const T a = read<T>(threshold), s = read<T>(sharpness), size = w < 0 ? -w : w;
        const T falling = -s * size * size, exponent = s * (size - a) * (size + a);  // factors: no digit is lost near 0
        const T passed = 1 / (1 + exp(-exponent)), stopped = 1 / (1 + exp(exponent));
        mask = -expm1(falling) * passed;
        slope = 2 * s * w * passed * (exp(falling) * passed + stopped);
    }
};

template <class T>
__global__ void __launch_bounds__(block_size)
    forward_kernel(const T* weight, DeviceNumber threshold, DeviceNumber sharpness, Index count, T* masked, T* mask) {
    const Index k = static_cast<Index>(blockIdx.x) * block_size + threadIdx.x;
    if (k >= count) return;
    const Sum<T> w = wide(weight[k]);
    const Psi<Sum<T>> psi(w, threshold, sharpness);
    masked[k] = narrow<T>(w * psi.mask);
    mask[k] = narrow<T>(psi.mask);
}

template <class T>
__global__ void __launch_bounds__(block_size)
    backward_kernel(const T* grad, const T* grad_mask, const T* weight, DeviceNumber threshold, DeviceNumber sharpness,
                    Index count, T* result) {
    const Index k = static_cast<Index>(blockIdx.x) * block_size + threadIdx.x;
    if (k >= count) return;
    const Sum<T> w = wide(weight[k]);
    const Psi<Sum<T>> psi(w, threshold, sharpness);
    Sum<T> sum = 0;
    if (grad) sum += wide(grad[k]) * (w * psi.slope + psi.mask);
    if (grad_mask) sum += wide(grad_mask[k]) * psi.slope;
    result[k] = narrow<T>(sum);
}

}  // namespace

void band_stop(Number number, const void* weight, DeviceNumber threshold, DeviceNumber sharpness, Index count,
               void* masked, void* mask, Stream stream) {
    if (!count) return;
    with_type(number, [&](auto zero) {
        using T = decltype(zero);
        launch(forward_kernel<T>, dim3(blocks_for(count, block_size)), dim3(block_size), 0,
               static_cast<cudaStream_t>(stream), static_cast<const T*>(weight), threshold, sharpness, count,
               static_cast<T*>(masked), static_cast<T*>(mask));
    });
}

void band_stop_backward(Number number, const void* grad, const void* grad_mask, const void* weight,
                        DeviceNumber threshold, DeviceNumber sharpness, Index count, void* result, Stream stream) {
    if (!count) return;
    with_type(number, [&](auto zero) {
        using T = decltype(zero);
        launch(backward_kernel<T>, dim3(blocks_for(count, block_size)), dim3(block_size), 0,
               static_cast<cudaStream_t>(stream), static_cast<const T*>(grad), static_cast<const T*>(grad_mask),
               static_cast<const T*>(weight), threshold, sharpness, count, static_cast<T*>(result));
    });
}

}  // namespace prune_adapters::cuda
