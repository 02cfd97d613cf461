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

// The numbers of a format, a vector at a time; the last vector of an array may be cut.
template <class T, int bytes>
struct Plain {
    using Stored = T;
    using Number = T;
    using N = Numbers<T, bytes>;
    using Vector = typename N::Vector;

    static Vector load(const T* at, Index n) {
        Vector value{};
        std::memcpy(&value, at, n < N::count ? n * sizeof(T) : sizeof value);
        return value;
    }
    static void store(T* at, Vector value, Index n) {
        std::memcpy(at, &value, n < N::count ? n * sizeof(T) : sizeof value);
    }
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

    static Vector load(const Stored* at, Index n) {
        Halves halves{};
        std::memcpy(&halves, at, n < N::count ? n * sizeof(Stored) : sizeof halves);
        return reinterpret_cast<Vector>(__builtin_convertvector(halves, Bits) << 16);
    }
    static void store(Stored* at, Vector value, Index n) {
        const Bits bits = reinterpret_cast<Bits>(value);
        const Bits rounded = bits + 0x7fff + (bits >> 16 & 1);
        const Bits result = value == value ? rounded >> 16 : (bits >> 16 | 0x40);
        const Halves halves = __builtin_convertvector(result, Halves);
        std::memcpy(at, &halves, n < N::count ? n * sizeof(Stored) : sizeof halves);
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
        Vector mask() const { return -e.expm1 * q; }
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

template <class Format>
void forward(const void* weight, double threshold, double sharpness, Index count, void* masked, void* mask) {
    using Stored = typename Format::Stored;
    constexpr int lanes = Format::N::count;
    const BandStop<Format> soft(threshold, sharpness);
    const auto* from = static_cast<const Stored*>(weight);
    auto *to = static_cast<Stored*>(masked), *to_mask = static_cast<Stored*>(mask);
    for (Index k = 0; k < count; k += lanes) {
        const Index n = std::min<Index>(lanes, count - k);
        const auto w = Format::load(from + k, n);
        const auto psi = soft.parts(w).mask();
        Format::store(to + k, w * psi, n);
        Format::store(to_mask + k, psi, n);
    }
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
    for (Index k = 0; k < count; k += lanes) {
        const Index n = std::min<Index>(lanes, count - k);
        const auto w = Format::load(from + k, n);
        const auto parts = soft.parts(w);
        const auto slope = soft.slope(w, parts);
        typename Format::Vector sum{};
        if (g) sum += Format::load(g + k, n) * (w * slope + parts.mask());
        if (g_mask) sum += Format::load(g_mask + k, n) * slope;
        Format::store(to + k, sum, n);
    }
}

template <int bytes>
constexpr SoftKernels soft_of(const char* name) {
    return {name,
            {forward<Plain<double, bytes>>, forward<Plain<float, bytes>>, forward<BFloat16<bytes>>},
            {backward<Plain<double, bytes>>, backward<Plain<float, bytes>>, backward<BFloat16<bytes>>}};
}

}  // namespace
}  // namespace prune_adapters
