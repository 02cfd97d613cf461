// Which table of kernels of the linear operators is in use.
#include "linear_kernels.hpp"

#include "netgraph/native/isa.hpp"

namespace prune_adapters {
namespace {

const LinearKernels* const fastest_first[] = {
#ifdef NETGRAPH_X86
    &linear_avx512, &linear_avx2,
#endif
    &linear_generic};

netgraph::Choice choice(fastest_first);

}  // namespace

const LinearKernels& linear_kernels() { return choice.get(); }

bool use_linear_kernels(const char* name) { return choice.use(name); }

}  // namespace prune_adapters
