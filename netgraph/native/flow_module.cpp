#include "flow_module.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>

#include <array>
#include <limits>
#include <stdexcept>

#include "brandes.hpp"
#include "sums.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace netgraph {
namespace {

template <class T>
using Array = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using AnyArray = nb::ndarray<nb::ro, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Shape = std::array<Index, 4>;  // rows, columns, taps, groups

void require(bool holds, const char* message) {
    if (!holds) throw std::invalid_argument(message);
}

Index size_of(Index wanted, std::size_t found, const char* message) {
    require(wanted == static_cast<Index>(found), message);
    return wanted;
}

Rows rows_of(const Array<const Word>& bits, const Shape& shape) {
    const Rows rows{shape[0], shape[1], shape[2], shape[3], bits.data()};
    require(rows.rows >= 0 && rows.columns >= 0 && rows.taps >= 0, "shape: expected sizes of at least 0");
    require(rows.groups > 0 && rows.rows % rows.groups == 0, "shape: expected rows divisible by groups");
    size_of(rows.words(), bits.size(), "bits: expected the words of the connection");
    return rows;
}

// No values at all: factors of 1.
Factors factors_of(const Rows& rows, const AnyArray& values, int power) {
    require(power == 1 || power == 2, "power: expected 1 or 2");
    if (values.size() == 0) {
        require(rows.taps == 1 || rows.width() * rows.rows == 0, "shape: expected one tap where there are no values");
        return {nullptr, 0, power};
    }
    size_of(rows.rows * rows.width(), values.size(), "values: expected one for each element");
    const bool is_double = values.dtype() == nb::dtype<double>();
    require(is_double || values.dtype() == nb::dtype<float>(), "values: expected float32 or float64");
    return {values.data(), is_double, power};
}

void fold_bits(const Array<const Word>& bits, const Shape& shape, const Array<Word>& pairs) {
    const Rows rows = rows_of(bits, shape);
    require(rows.taps > 0, "shape: expected at least one tap");
    size_of(Rows{rows.rows, rows.columns, 1, rows.groups, nullptr}.words(), pairs.size(), "pairs: expected its words");
    nb::gil_scoped_release unlocked;
    fold_taps(rows, pairs.data());
}

void along(const Array<const Word>& bits, const Shape& shape, const AnyArray& values, int power,
           const Array<const double>& sources, const Array<double>& targets) {
    const Rows rows = rows_of(bits, shape);
    const Factors factors = factors_of(rows, values, power);
    size_of(rows.groups * rows.columns, sources.size(), "sources: expected one value for each source unit");
    size_of(rows.rows, targets.size(), "targets: expected one value for each row");
    nb::gil_scoped_release unlocked;
    sum_along(rows, factors, sources.data(), targets.data());
}

void against(const Array<const Word>& bits, const Shape& shape, const AnyArray& values, int power,
             const Array<const double>& targets, const Array<double>& sources) {
    const Rows rows = rows_of(bits, shape);
    const Factors factors = factors_of(rows, values, power);
    size_of(rows.rows, targets.size(), "targets: expected one value for each row");
    size_of(rows.groups * rows.columns, sources.size(), "sources: expected one value for each source unit");
    nb::gil_scoped_release unlocked;
    sum_against(rows, factors, targets.data(), sources.data());
}

void shares(const Array<const Word>& bits, const Shape& shape, const AnyArray& values, int power,
            const Array<const double>& sources, const Array<const double>& targets,
            const nb::ndarray<nb::ndim<1>, nb::c_contig, nb::device::cpu>& out) {
    const Rows rows = rows_of(bits, shape);
    const Factors factors = factors_of(rows, values, power);
    size_of(rows.groups * rows.columns, sources.size(), "sources: expected one value for each source unit");
    size_of(rows.rows, targets.size(), "targets: expected one value for each row");
    size_of(static_cast<Index>(values.size()), out.size(), "out: expected one for each element");
    require(out.dtype() == values.dtype(), "out: expected the dtype of values");
    if (values.size() == 0) return;
    nb::gil_scoped_release unlocked;
    weight_shares(rows, factors, sources.data(), targets.data(), out.data());
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
    module.def("fold_taps", &fold_bits, "bits"_a, "shape"_a, "pairs"_a.noconvert(),
               "Write one bit for each pair of units that a kept element joins.");
    module.def("sum_along", &along, "bits"_a, "shape"_a, "values"_a, "power"_a, "sources"_a, "targets"_a.noconvert(),
               "Write, for each row, the sum of factor times source over its kept elements or pairs.");
    module.def("sum_against", &against, "bits"_a, "shape"_a, "values"_a, "power"_a, "targets"_a,
               "sources"_a.noconvert(), "Add, for each source, the sum of factor times target.");
    module.def("weight_shares", &shares, "bits"_a, "shape"_a, "values"_a, "power"_a, "sources"_a, "targets"_a,
               "out"_a.noconvert(), "Write factor times source times target of each element.");
    module.def("betweenness", &edge_betweenness, "starts"_a, "edge_sources"_a, "hops"_a, "sources"_a, "goals"_a,
               "found"_a.noconvert(), "Add the betweenness of each edge from the given sources.");
}

}  // namespace netgraph
