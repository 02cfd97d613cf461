// Which table of loops is in use, and keys one by one.
#include "ranks.hpp"

#include "netgraph/native/isa.hpp"

namespace prune_adapters {
namespace {

const RankKernels* const fastest_first[] = {
#ifdef NETGRAPH_X86
    &ranks_avx512, &ranks_avx2,
#endif
    &ranks_generic};

netgraph::Choice choice(fastest_first);

constexpr FloatFormat formats[n_floats] = {
    {3, 0x7ff0000000000000}, {2, 0x7f800000}, {1, 0x7c00}, {1, 0x7f80}};

}  // namespace

const RankKernels& ranks() { return choice.get(); }

bool use_ranks(const char* name) { return choice.use(name); }

const FloatFormat& format_of(Element element) { return formats[static_cast<int>(element)]; }

std::uint64_t bits_of(Element element, Key key) {
    const std::uint64_t sign = std::uint64_t{1} << ((8 << format_of(element).log_size) - 1);
    return key < 0 ? static_cast<std::uint64_t>(-key) | sign : static_cast<std::uint64_t>(key);
}

}  // namespace prune_adapters
