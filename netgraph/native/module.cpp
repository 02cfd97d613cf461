// netgraph._native: the door from numpy arrays to the kernels. Checks sizes, releases the GIL, knows no torch.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <stdexcept>
#include <string>

#include "counters.hpp"
#include "flow_module.hpp"
#include "hops_module.hpp"
#include "search_module.hpp"
#include "sweep.hpp"

namespace nb = nanobind;

namespace netgraph {
namespace {

template <class T, std::size_t N = 1>
using Array = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
using AnyArray = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;

void check_size(const char* what, std::size_t wanted, std::size_t found) {
    if (wanted != found)
        throw std::invalid_argument(std::string(what) + ": expected size " + std::to_string(wanted) + ", got " +
                                    std::to_string(found));
}

const std::uint8_t* flags_of(const char* what, const Plan& plan, const Array<const bool>& flags) {
    check_size(what, plan.n_units, flags.size());
    return reinterpret_cast<const std::uint8_t*>(flags.data());
}

Plan* make_plan(const Array<const Index>& sizes, const Array<const bool>& products,
                const Array<const Index, 2>& weighted, const Array<const Index, 2>& wiring,
                const Array<const std::int32_t, 2>& pairs, const Array<const Index>& inputs,
                const Array<const Index>& outputs, bool cyclic) {
    check_size("products", sizes.size(), products.size());
    check_size("weighted columns", static_cast<std::size_t>(WeightedColumn::count), weighted.shape(1));
    check_size("wiring columns", static_cast<std::size_t>(WireColumn::count), wiring.shape(1));
    auto* plan = new Plan;
    plan->cyclic = cyclic;
    plan->add_layers(sizes.data(), products.data(), sizes.size());
    plan->add_weighted(weighted.data(), weighted.shape(0));
    plan->add_wiring(wiring.data(), wiring.shape(0), pairs.data(), pairs.shape(1));
    plan->mark_units(plan->inputs, inputs.data(), inputs.size());
    plan->mark_units(plan->outputs, outputs.data(), outputs.size());
    return plan;
}

Element element_of(const AnyArray& values) {
    const nb::dlpack::dtype type = values.dtype();
    if (type == nb::dtype<double>()) return Element::float64;
    if (type == nb::dtype<float>()) return Element::float32;
    if (type == nb::dlpack::dtype{static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float), 16, 1})
        return Element::float16;
    if (type == nb::dtype<std::uint16_t>()) return Element::bfloat16;
    if (type == nb::dtype<std::uint8_t>() || type == nb::dtype<bool>()) return Element::uint8;
    throw std::invalid_argument("values: expected float64, float32, float16, uint16 (bfloat16), uint8 or bool");
}

// One array, or None, for each weighted connection.
std::vector<Values> values_of(const Plan& plan, const nb::list& arrays) {
    check_size("values", plan.weighted.size(), arrays.size());
    std::vector<Values> values(plan.weighted.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (arrays[i].is_none()) continue;
        const auto array = nb::cast<AnyArray>(arrays[i], false);  // a converted copy would be gone at once
        check_size("values of a connection", plan.weighted[i].rows * plan.weighted[i].width(), array.size());
        values[i] = {array.data(), element_of(array)};
    }
    return values;
}

Index run_sweep(const Plan& plan, Word* bits, std::vector<Values> values, const std::uint8_t* gate,
                const std::uint8_t* shift, const Array<bool, 2>& flags, const Array<Index>& consistent) {
    check_size("flags", 3 * plan.n_units, flags.size());
    check_size("consistent", plan.weighted.size(), consistent.size());
    auto* out = reinterpret_cast<std::uint8_t*>(flags.data());
    nb::gil_scoped_release unlocked;
    Sweep sweep(plan, bits, std::move(values), gate, shift);
    const Index nan = sweep.run(consistent.data());
    sweep.write(out, out + plan.n_units, out + 2 * plan.n_units);
    return nan;
}

void sweep_bits(const Plan& plan, const Array<const Word>& bits, const Array<const bool>& gate,
                const Array<const bool>& shift, const Array<bool, 2>& flags, const Array<Index>& consistent) {
    check_size("bits", plan.bit_words, bits.size());
    Word* unchanged = const_cast<Word*>(bits.data());  // written only where there are values
    run_sweep(plan, unchanged, std::vector<Values>(plan.weighted.size()), flags_of("gate", plan, gate),
              flags_of("shift", plan, shift), flags, consistent);
}

Index sweep_values(const Plan& plan, const Array<Word>& bits, const nb::list& values, const Array<const bool>& gate,
                   const Array<const bool>& shift, const Array<bool, 2>& flags, const Array<Index>& consistent) {
    check_size("bits", plan.bit_words, bits.size());
    return run_sweep(plan, bits.data(), values_of(plan, values), flags_of("gate", plan, gate),
                     flags_of("shift", plan, shift), flags, consistent);
}

void restrict_elements(const Plan& plan, const Array<const Word>& bits, const Array<const bool>& sources,
                       const Array<const bool>& targets, const Array<Word>& out) {
    check_size("bits", plan.bit_words, bits.size());
    check_size("out", plan.bit_words, out.size());
    const auto* from = flags_of("sources", plan, sources);
    const auto* to = flags_of("targets", plan, targets);
    nb::gil_scoped_release unlocked;
    restrict_bits(plan, bits.data(), from, to, out.data());
}

// Counters hold pointers into the plan and the bits: Python keeps both alive (nb::keep_alive below).
void make_counters(Counters* self, const Plan& plan, const Array<Word>& bits, const Array<const bool>& gate,
                   const Array<const bool>& live, const Array<const bool>& co) {
    check_size("bits", plan.bit_words, bits.size());
    const auto *open = flags_of("gate", plan, gate), *fed = flags_of("live", plan, live);
    const auto* leads = flags_of("co", plan, co);
    nb::gil_scoped_release unlocked;
    new (self) Counters(plan, bits.data(), open, fed, leads);
}

void change_elements(Counters& counters, Index connection, const Array<const Index>& elements, bool keep) {
    counters.change(connection, elements.data(), static_cast<Index>(elements.size()), keep);
}

void write_units(const Counters& counters, const Array<bool, 2>& flags) {
    auto* out = reinterpret_cast<std::uint8_t*>(flags.data());
    counters.write(out, out + flags.shape(1));
}

Word stream(const AnyArray& array) {
    nb::gil_scoped_release unlocked;
    return kernels().stream(array.data(), static_cast<Index>(array.nbytes()));
}

void choose(const std::string& name) {
    if (!use_kernels(name.c_str()))
        throw std::invalid_argument("instruction set '" + name + "': this build or this processor does not have it");
}

}  // namespace
}  // namespace netgraph

NB_MODULE(_native, module) {
    nb::set_leak_warnings(false);  // a graph in a module global, and its plan, live until the interpreter ends
    using namespace netgraph;
    using namespace nb::literals;
    module.doc() = "Graph kernels of netgraph.";
    nb::class_<Plan>(module, "Plan", "The structure of a graph, compiled once.")
        .def(nb::new_(&make_plan), "sizes"_a, "products"_a, "weighted"_a, "wiring"_a, "pairs"_a, "inputs"_a,
             "outputs"_a, "cyclic"_a);
    nb::class_<Counters>(module, "Counters", "Counts of live and leading neighbours of each unit.")
        .def("__init__", &make_counters, "plan"_a, "bits"_a.noconvert(), "gate"_a, "live"_a, "co"_a,
             nb::keep_alive<1, 2>(), nb::keep_alive<1, 3>())
        .def("change", &change_elements, "connection"_a, "elements"_a, "keep"_a)
        .def("write", &write_units, "flags"_a.noconvert())
        .def_prop_ro("consistent", &Counters::consistent);
    module.def("sweep", &sweep_bits, "plan"_a, "bits"_a, "gate"_a, "shift"_a, "flags"_a.noconvert(),
               "consistent"_a.noconvert(), "Write live, nonzero and co-accessible units and consistent counts.");
    module.def("sweep_values", &sweep_values, "plan"_a, "bits"_a.noconvert(), "values"_a, "gate"_a, "shift"_a,
               "flags"_a.noconvert(), "consistent"_a.noconvert(),
               "Pack the values into bits on the way; return -1 or the first connection with a NaN.");
    module.def("restrict", &restrict_elements, "plan"_a, "bits"_a, "sources"_a, "targets"_a, "out"_a.noconvert(),
               "Write the bits whose source and target unit are flagged.");
    define_flow(module);
    module.def("stream", &stream, "array"_a, "Return the OR of all bytes of an array: one streaming read of it.");
    define_hops(module);
    define_search(module);
    module.def("isa", [] { return kernels().name; }, "Return the name of the instruction set in use.");
    module.def("use_isa", &choose, "name"_a, "Use \"generic\", \"avx2\" or \"avx512\" from now on.");
}
