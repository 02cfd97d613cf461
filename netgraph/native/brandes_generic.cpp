// Betweenness in portable C++.
#include <array>

#include "brandes_batch.hpp"

namespace netgraph {
namespace {

struct Generic {
    using Lengths = std::array<std::uint16_t, n_lanes>;
    using Numbers = std::array<double, n_lanes>;

    template <class T>
    static std::array<T, n_lanes> load(const T* at) {
        std::array<T, n_lanes> values;
        std::copy(at, at + n_lanes, values.begin());
        return values;
    }
    template <class T>
    static void store(T* at, const std::array<T, n_lanes>& values) { std::copy(values.begin(), values.end(), at); }
    static Lengths lengths(const std::uint16_t* at) { return load(at); }
    static Numbers numbers(const double* at) { return load(at); }

    static void nearer(Lengths& a, const std::uint16_t* d, std::uint16_t hop) {
        for (int l = 0; l < n_lanes; ++l) a[l] = std::min(a[l], static_cast<std::uint16_t>(d[l] + hop));
    }
    static Word reached(const Lengths& a) {
        Word mask = 0;
        for (int l = 0; l < n_lanes; ++l) mask |= Word{a[l] < no_path} << l;
        return mask;
    }
    // Lanes with a length that the edge attains.
    static Word tight(const Lengths& a, const std::uint16_t* d, std::uint16_t hop) {
        Word mask = 0;
        for (int l = 0; l < n_lanes; ++l) mask |= Word{a[l] < no_path && a[l] == d[l] + hop} << l;
        return mask;
    }
    static void add(Numbers& to, const double* from, Word mask) {
        for (; mask; mask &= mask - 1) to[__builtin_ctzll(mask)] += from[__builtin_ctzll(mask)];
    }
    static Numbers ratio(const double* delta, double goal, const double* paths, Word mask) {
        Numbers values;
        for (int l = 0; l < n_lanes; ++l) values[l] = mask >> l & 1 ? (delta[l] + goal) / paths[l] : 0.0;
        return values;
    }
    static bool any(const Numbers& values) {
        return std::any_of(values.begin(), values.end(), [](double value) { return value != 0; });
    }
    static double pull(double* delta, const double* paths, const Numbers& weight, Word mask) {
        double sum = 0;
        for (; mask; mask &= mask - 1) {
            const int l = __builtin_ctzll(mask);
            delta[l] += paths[l] * weight[l];
            sum += paths[l] * weight[l];
        }
        return sum;
    }
};

}  // namespace

void betweenness_generic(const SortedEdges& edges, Sources sources, const std::uint8_t* goals, double* found) {
    run_batches<Generic>(edges, sources, goals, found);
}

}  // namespace netgraph
