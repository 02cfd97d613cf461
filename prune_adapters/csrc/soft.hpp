// The band-stop mask: the loops of its forward and backward pass, one table of them for each instruction set.
#pragma once

#include "netgraph/native/kernels.hpp"

namespace prune_adapters {

using netgraph::Element;
using netgraph::Index;

// float64 is computed in double, float32 and bfloat16 in float; there are no loops for the others.
constexpr int n_soft = 3;
constexpr int soft_number(Element element) {
    return element == Element::float64 ? 0 : element == Element::float32 ? 1 : element == Element::bfloat16 ? 2 : -1;
}

struct SoftKernels {
    const char* name;

    // masked = w psi(w), mask = psi(w).
    void (*forward[n_soft])(const void* weight, double threshold, double sharpness, Index count, void* masked,
                            void* mask);

    // result = grad * d masked / dw + grad_mask * d mask / dw; a null gradient is one of zeros.
    void (*backward[n_soft])(const void* grad, const void* grad_mask, const void* weight, double threshold,
                             double sharpness, Index count, void* result);
};

extern const SoftKernels soft_generic;
#ifdef NETGRAPH_X86
extern const SoftKernels soft_avx2;
extern const SoftKernels soft_avx512;
#endif

// The fastest table that this processor runs, or the one that `use_soft` has chosen.
const SoftKernels& soft();
bool use_soft(const char* name);

}  // namespace prune_adapters
