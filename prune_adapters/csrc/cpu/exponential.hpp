// exp(x) and exp(x) - 1 on vectors, to two units in the last place. Everything has internal linkage: code compiled for one
// instruction set must never be linked in for another.
#pragma once

#include <cstdint>
#include <cstring>

namespace prune_adapters {
namespace {

// x = n ln 2 + r with r at most half of ln 2: then exp(x) - 1 = 2^n (exp(r) - 1) + (2^n - 1), and for small x, where n
// is 0, no digit is lost. exp(r) - 1 is the start of its series, up to the last term that counts.
template <class T>
struct Exponential;

template <>
struct Exponential<float> {
    using Integer = std::int32_t;
    static constexpr int mantissa = 23, bias = 127, terms = 7;
    static constexpr float rounder = 12582912.0f;  // 1.5 * 2^23: what is added to it is rounded to an integer
    static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    static constexpr float least = -87.0f, most = 88.0f;  // 2^n stays a normal number
};

template <>
struct Exponential<double> {
    using Integer = std::int64_t;
    static constexpr int mantissa = 52, bias = 1023, terms = 13;
    static constexpr double rounder = 6755399441055744.0;
    static constexpr double ln2_high = 6.93145751953125e-1, ln2_low = 1.42860682030941723212e-6;
    static constexpr double least = -708.0, most = 709.0;
};

template <class T, int bytes>
struct Numbers {
    using E = Exponential<T>;
    static constexpr int count = bytes / static_cast<int>(sizeof(T));
    typedef T Vector __attribute__((vector_size(bytes)));
    typedef typename E::Integer Integers __attribute__((vector_size(bytes)));

    static Vector fill(T value) {
        Vector all;
        for (int k = 0; k < count; ++k) all[k] = value;
        return all;
    }

    // A NaN stays one.
    static Vector clamp(Vector x) {
        x = x < E::least ? fill(E::least) : x;
        return x > E::most ? fill(E::most) : x;
    }

    struct Exp {
        Vector exp, expm1;
    };

    // exp(x) and exp(x) - 1, neither from the other: that would lose digits. For x as `clamp` leaves it.
    static Exp exponentials(Vector x) {
        constexpr T log2_e = static_cast<T>(1.4426950408889634);
        const Vector shifted = x * log2_e + E::rounder;
        const Vector n = shifted - E::rounder;
        const Vector r = (x - n * E::ln2_high) - n * E::ln2_low;
        Vector series = fill(reciprocal_factorial(E::terms));
        for (int term = E::terms - 1; term >= 2; --term) series = series * r + reciprocal_factorial(term);
        series = series * r * r + r;
        const Vector power = power_of_two(shifted);
        return {power * series + power, power * series + (power - 1)};
    }

private:
    static constexpr T reciprocal_factorial(int n) {
        double product = 1;
        for (int k = 2; k <= n; ++k) product *= k;
        return static_cast<T>(1 / product);
    }

    // 2^n from n + rounder, whose lowest bits are n. (Unsigned: what a NaN brings must not overflow.)
    static Vector power_of_two(Vector shifted) {
        typedef std::make_unsigned_t<typename E::Integer> Unsigned;
        typedef Unsigned Bits __attribute__((vector_size(bytes)));
        Unsigned zero;
        const T rounder = E::rounder;
        std::memcpy(&zero, &rounder, sizeof zero);
        const Bits n = reinterpret_cast<Bits>(shifted) - zero;
        return reinterpret_cast<Vector>((n + static_cast<Unsigned>(E::bias)) << E::mantissa);
    }
};

}  // namespace
}  // namespace prune_adapters
