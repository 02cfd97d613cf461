// The loops of sums.hpp in portable C++: vectors of one.
#include "sum_rows.hpp"

namespace netgraph {
namespace {

struct Generic {
    static constexpr int lanes = 1;
    using Values = double;

    static Values load(const double* at) { return *at; }
    static Values load(const float* at) { return *at; }
    static void store(double* at, Values value) { *at = value; }
    static void store(float* at, Values value) { *at = static_cast<float>(value); }

    static Values all(double value) { return value; }
    static Values add(Values a, Values b) { return a + b; }
    static Values multiply(Values a, Values b) { return a * b; }
    static Values multiply_add(Values a, Values b, Values c) { return a * b + c; }
    static Values size_of(Values value, int power) { return netgraph::size_of(value, power); }
    static double sum_of(Values value) { return value; }
    static Values kept_only(Word bits, Values value) { return bits & 1 ? value : 0.0; }
};

}  // namespace

const SumKernels sums_generic = sums_of<Generic>("generic");

}  // namespace netgraph
