#include "flow_module.hpp"

#include <nanobind/ndarray.h>

#include <limits>
#include <stdexcept>

#include "brandes.hpp"
#include "path_sums.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace netgraph {
namespace {

template <class T, std::size_t N = 1>
using Array = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
using AnyArray = nb::ndarray<nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using ReadArray = nb::ndarray<nb::ro, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void require(bool holds, const char* message) {
    if (!holds) throw std::invalid_argument(message);
}

Index size_of(Index wanted, std::size_t found, const char* message) {
    require(wanted == static_cast<Index>(found), message);
    return wanted;
}

const std::uint8_t* flags_of(const Plan& plan, const Array<const bool>& flags, const char* message) {
    size_of(plan.n_units, flags.size(), message);
    return reinterpret_cast<const std::uint8_t*>(flags.data());
}

template <class Value, class Exponent>
Sums<Value, Exponent> sums_of(const Plan& plan, const Array<Value>& values, const Array<Exponent>& exponents) {
    size_of(plan.n_units, values.size(), "sums: expected one for each unit");
    size_of(plan.n_units, exponents.size(), "exponents: expected one for each unit");
    return {values.data(), exponents.data()};
}

// One array for each weighted connection; none at all: factors of 1.
std::vector<Factors> factors_of(const Plan& plan, const nb::list& values, int power) {
    require(power == 1 || power == 2, "power: expected 1 or 2");
    std::vector<Factors> factors(plan.weighted.size(), Factors{nullptr, 0, power});
    if (nb::len(values) == 0) return factors;
    size_of(static_cast<Index>(factors.size()), nb::len(values), "values: expected one array for each connection");
    for (std::size_t i = 0; i < factors.size(); ++i) {
        const auto array = nb::cast<ReadArray>(values[i], false);  // a converted copy would be gone at once
        const bool is_double = array.dtype() == nb::dtype<double>();
        require(is_double || array.dtype() == nb::dtype<float>(), "values: expected float32 or float64");
        size_of(plan.weighted[i].rows * plan.weighted[i].width(), array.size(), "values: expected one for each element");
        factors[i] = {array.data(), is_double, power};
    }
    return factors;
}

Index path_sums(const Plan& plan, const Array<const Word>& bits, const nb::list& values, int power,
                const Array<const bool>& gate, const Array<const bool>& shift, const Array<double>& forward,
                const Array<Index>& forward_exponents, const Array<double>& backward,
                const Array<Index>& backward_exponents) {
    const std::vector<Factors> factors = factors_of(plan, values, power);
    require(!plan.cyclic, "plan: expected a graph without cycles");
    size_of(plan.bit_words, bits.size(), "bits: expected those of the graph");
    const auto* open = flags_of(plan, gate, "gate: expected one for each unit");
    const auto* shifted = flags_of(plan, shift, "shift: expected one for each unit");
    const UnitSums from_inputs = sums_of(plan, forward, forward_exponents);
    const UnitSums to_outputs = sums_of(plan, backward, backward_exponents);
    nb::gil_scoped_release unlocked;
    return PathSums(plan, bits.data(), factors, open, shifted).run(from_inputs, to_outputs);
}

void path_shares(const Plan& plan, const Array<const Word>& bits, const nb::list& values, int power,
                 const Array<const bool>& gate, const Array<const double>& forward,
                 const Array<const Index>& forward_exponents, const Array<const double>& backward,
                 const Array<const Index>& backward_exponents, double total, Index total_exponent,
                 bool fresh, const nb::list& out) {
    const std::vector<Factors> factors = factors_of(plan, values, power);
    size_of(plan.bit_words, bits.size(), "bits: expected those of the graph");
    size_of(nb::len(values), nb::len(out), "out: expected one array for each connection");
    const auto* open = flags_of(plan, gate, "gate: expected one for each unit");
    const auto from_inputs = sums_of(plan, forward, forward_exponents);
    const auto to_outputs = sums_of(plan, backward, backward_exponents);
    std::vector<void*> shares;
    for (std::size_t i = 0; i < nb::len(out); ++i) {
        const auto array = nb::cast<AnyArray>(out[i], false);
        require(array.dtype() == (factors[i].kind ? nb::dtype<double>() : nb::dtype<float>()),
                "out: expected the dtype of values");
        size_of(plan.weighted[i].rows * plan.weighted[i].width(), array.size(), "out: expected one for each element");
        shares.push_back(array.data());
    }
    nb::gil_scoped_release unlocked;
    for (std::size_t i = 0; i < shares.size(); ++i)
        connection_shares(plan.weighted[i], bits.data(), factors[i], open, from_inputs, to_outputs, total,
                          total_exponent, fresh, shares[i]);
}

void edge_betweenness(const Array<const Index>& starts, const Array<const std::int32_t>& edge_sources,
                      const Array<const std::int32_t>& hops, const Array<const Index>& sources,
                      const Array<const bool>& goals, const Array<double>& found) {
    const Index units = static_cast<Index>(goals.size()), edges = static_cast<Index>(edge_sources.size());
    size_of(units + 1, starts.size(), "starts: expected one more than there are units");
    size_of(edges, hops.size(), "hops: expected one for each edge");
    size_of(edges, found.size(), "found: expected one for each edge");
    require(edges <= std::numeric_limits<std::int32_t>::max(), "edges: expected less than 2^31");
    require(starts.data()[0] == 0 && starts.data()[units] == edges, "starts: expected to rise from 0 to the edges");
    for (Index u = 0; u < units; ++u) {
        require(starts.data()[u] <= starts.data()[u + 1], "starts: expected to rise");
        for (Index e = starts.data()[u]; e < starts.data()[u + 1]; ++e) {
            require(edge_sources.data()[e] >= 0 && edge_sources.data()[e] < u, "edges: expected sources before targets");
            require(hops.data()[e] == 0 || hops.data()[e] == 1, "hops: expected 0 or 1");
        }
    }
    for (std::size_t s = 0; s < sources.size(); ++s)
        require(sources.data()[s] >= 0 && sources.data()[s] < units, "sources: expected units");
    nb::gil_scoped_release unlocked;
    betweenness({units, starts.data(), edge_sources.data(), hops.data()},
                {sources.data(), static_cast<Index>(sources.size())},
                reinterpret_cast<const std::uint8_t*>(goals.data()), found.data());
}

}  // namespace

void define_flow(nb::module_& module) {
    module.def("path_sums", &path_sums, "plan"_a, "bits"_a, "values"_a, "power"_a, "gate"_a, "shift"_a,
               "forward"_a.noconvert(), "forward_exponents"_a.noconvert(), "backward"_a.noconvert(),
               "backward_exponents"_a.noconvert(),
               "Write the sums over paths forward and backward; return -1 or a connection with a bad weight.");
    module.def("path_shares", &path_shares, "plan"_a, "bits"_a, "values"_a, "power"_a, "gate"_a, "forward"_a,
               "forward_exponents"_a, "backward"_a, "backward_exponents"_a, "total"_a, "total_exponent"_a, "fresh"_a, "out"_a,
               "Write the share of each weight in the sum over all paths; fresh: into arrays of zeros.");
    module.def("betweenness", &edge_betweenness, "starts"_a, "edge_sources"_a, "hops"_a, "sources"_a, "goals"_a,
               "found"_a.noconvert(), "Add the betweenness of each edge from the given sources.");
}

}  // namespace netgraph
