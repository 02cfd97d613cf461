// Which table of kernels is in use.
#include "kernels.hpp"

#include "isa.hpp"

namespace netgraph {
namespace {

const Kernels* const fastest_first[] = {
#ifdef NETGRAPH_X86
    &kernels_avx512, &kernels_avx2,
#endif
    &kernels_generic};

Choice choice(fastest_first);

}  // namespace

const Kernels& kernels() { return choice.get(); }

bool use_kernels(const char* name) { return choice.use(name); }

}  // namespace netgraph
