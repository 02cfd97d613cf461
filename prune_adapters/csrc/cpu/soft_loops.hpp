// Templates of the band-stop mask, on vectors of `bytes` bytes. With u = s w^2, E = exp(-u), F = exp(s (a^2 - w^2)) and
// q = 1 / (1 + F) the mask is (1 - E) q, and its derivative by w is 2 s w q (E q + F q): no infinity meets another one.
// Everything has internal linkage.
#pragma once

#include <algorithm>
#include <type_traits>

#include "../soft.hpp"
#include "exponential.hpp"

namespace prune_adapters {
namespace {

template <class T, int bytes>
struct VectorOf {
    typedef T Type __attribute__((vector_size(bytes)));
};

// The numbers of a format, a vector at a time.
template <class T, int bytes>
struct Plain {
    using Stored = T;
    using Number = T;
    using N = Numbers<T, bytes>;
    using Vector = typename N::Vector;

    static Vector load(const T* at) {
        Vector value;
        std::memcpy(&value, at, sizeof value);
        return value;
    }
    static void store(T* at, Vector value) { std::memcpy(at, &value, sizeof value); }
};

// The upper half of a float, rounded to the nearest, of two equally near ones to the even.
template <int bytes>
struct BFloat16 {
    using Stored = std::uint16_t;
    using Number = float;
    using N = Numbers<float, bytes>;
    using Vector = typename N::Vector;
    using Bits = typename VectorOf<std::uint32_t, bytes>::Type;
    using Halves = typename VectorOf<std::uint16_t, bytes / 2>::Type;

    static Vector load(const Stored* at) {
        Halves halves;
        std::memcpy(&halves, at, sizeof halves);
        return reinterpret_cast<Vector>(__builtin_convertvector(halves, Bits) << 16);
    }
    static void store(Stored* at, Vector value) {
        const Bits bits = reinterpret_cast<Bits>(value);
        const Bits rounded = bits + 0x7fff + (bits >> 16 & 1);
        const Bits result = value == value ? rounded >> 16 : (bits >> 16 | 0x40);
        const Halves halves = __builtin_convertvector(result, Halves);
        std::memcpy(at, &halves, sizeof halves);
    }
};

template <class Format>
struct BandStop {
    using N = typename Format::N;
    using Vector = typename N::Vector;
    using Number = typename Format::Number;

    Vector threshold, sharpness;

    BandStop(double a, double s) : threshold(N::fill(static_cast<Number>(a))), sharpness(N::fill(static_cast<Number>(s))) {}

    struct Parts {
        typename N::Exp e;
        Vector f, q;
        Vector mask() const { return (0 - e.expm1) * q; }  // 0 for w = 0, not -0.0
    };

    Parts parts(Vector w) const {
        const Vector size = w < 0 ? -w : w;
        const Vector f = N::exponentials(N::clamp(-(sharpness * (size - threshold) * (size + threshold)))).exp;
        return {N::exponentials(N::clamp(-sharpness * size * size)), f, 1 / (f + 1)};
    }
    Vector slope(Vector w, const Parts& p) const {
        return 2 * sharpness * w * p.q * (p.e.exp * p.q + p.f * p.q);
    }
};

// The last vector of an array, which may be cut: it is worked on in a whole one.
template <class Format>
struct Tail {
    typename Format::Stored elements[Format::N::count] = {};

    Tail() = default;
    Tail(const typename Format::Stored* at, Index n) { std::memcpy(elements, at, n * sizeof *at); }
    void store(typename Format::Stored* at, Index n) const { std::memcpy(at, elements, n * sizeof *at); }
};

template <class Format>
void forward_one(const BandStop<Format>& soft, const typename Format::Stored* weight, typename Format::Stored* masked,
                 typename Format::Stored* mask) {
    const auto w = Format::load(weight);
    const auto psi = soft.parts(w).mask();
    Format::store(masked, w * psi);
    Format::store(mask, psi);
}

template <class Format>
void forward(const void* weight, double threshold, double sharpness, Index count, void* masked, void* mask) {
    using Stored = typename Format::Stored;
    constexpr int lanes = Format::N::count;
    const BandStop<Format> soft(threshold, sharpness);
    const auto* from = static_cast<const Stored*>(weight);
    auto *to = static_cast<Stored*>(masked), *to_mask = static_cast<Stored*>(mask);
    Index k = 0;
    for (; k + lanes <= count; k += lanes) forward_one(soft, from + k, to + k, to_mask + k);
    if (k == count) return;
    const Tail<Format> w(from + k, count - k);
    Tail<Format> first, second;
    forward_one(soft, w.elements, first.elements, second.elements);
    first.store(to + k, count - k);
    second.store(to_mask + k, count - k);
}

template <class Format>
void backward_one(const BandStop<Format>& soft, const typename Format::Stored* grad,
                  const typename Format::Stored* grad_mask, const typename Format::Stored* weight,
                  typename Format::Stored* result) {
    const auto w = Format::load(weight);
    const auto parts = soft.parts(w);
    const auto slope = soft.slope(w, parts);
    typename Format::Vector sum{};
    if (grad) sum += Format::load(grad) * (w * slope + parts.mask());
    if (grad_mask) sum += Format::load(grad_mask) * slope;
    Format::store(result, sum);
}

template <class Format>
void backward(const void* grad, const void* grad_mask, const void* weight, double threshold, double sharpness,
              Index count, void* result) {
    using Stored = typename Format::Stored;
    constexpr int lanes = Format::N::count;
    const BandStop<Format> soft(threshold, sharpness);
    const auto* from = static_cast<const Stored*>(weight);
    const auto *g = static_cast<const Stored*>(grad), *g_mask = static_cast<const Stored*>(grad_mask);
    auto* to = static_cast<Stored*>(result);
    Index k = 0;
    for (; k + lanes <= count; k += lanes)
        backward_one(soft, g ? g + k : g, g_mask ? g_mask + k : g_mask, from + k, to + k);
    if (k == count) return;
    const Index n = count - k;
    const Tail<Format> w(from + k, n), first(g ? g + k : from, g ? n : 0), second(g_mask ? g_mask + k : from, g_mask ? n : 0);
    Tail<Format> out;
    backward_one(soft, g ? first.elements : g, g_mask ? second.elements : g_mask, w.elements, out.elements);
    out.store(to + k, n);
}

template <int bytes>
constexpr SoftKernels soft_of(const char* name) {
    return {name,
            {forward<Plain<double, bytes>>, forward<Plain<float, bytes>>, forward<BFloat16<bytes>>},
            {backward<Plain<double, bytes>>, backward<Plain<float, bytes>>, backward<BFloat16<bytes>>}};
}

}  // namespace
}  // namespace prune_adapters
