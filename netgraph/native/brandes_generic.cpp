// The lanes of brandes.hpp in portable C++.
#include "brandes.hpp"

namespace netgraph {
namespace {

void nearer(std::uint16_t* a, const std::uint16_t* d, std::uint16_t hop) {
    for (int l = 0; l < brandes_lanes; ++l) a[l] = std::min<std::uint16_t>(a[l], static_cast<std::uint16_t>(d[l] + hop));
}

Word tight(const std::uint16_t* a, const std::uint16_t* d, std::uint16_t hop) {
    Word mask = 0;
    for (int l = 0; l < brandes_lanes; ++l) mask |= Word{a[l] < no_path && a[l] == d[l] + hop} << l;
    return mask;
}

void add(double* to, const double* from, Word mask) {
    for (; mask; mask &= mask - 1) to[__builtin_ctzll(mask)] += from[__builtin_ctzll(mask)];
}

bool weigh(double* to, const double* delta, double goal, const double* paths, Word mask) {
    bool any = false;
    for (int l = 0; l < brandes_lanes; ++l) {
        to[l] = mask >> l & 1 ? (delta[l] + goal) / paths[l] : 0.0;
        any |= to[l] != 0;
    }
    return any;
}

double pull(double* delta, const double* paths, const double* weight, Word mask) {
    double sum = 0;
    for (; mask; mask &= mask - 1) {
        const int l = __builtin_ctzll(mask);
        delta[l] += paths[l] * weight[l];
        sum += paths[l] * weight[l];
    }
    return sum;
}

}  // namespace

const Lanes lanes_generic = {"generic", nearer, tight, add, weigh, pull};

}  // namespace netgraph
