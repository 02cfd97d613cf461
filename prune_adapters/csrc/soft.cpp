// Which table of loops is in use.
#include "soft.hpp"

#include "netgraph/native/isa.hpp"

namespace prune_adapters {
namespace {

const SoftKernels* const fastest_first[] = {
#ifdef NETGRAPH_X86
    &soft_avx512, &soft_avx2,
#endif
    &soft_generic};

netgraph::Choice choice(fastest_first);

}  // namespace

const SoftKernels& soft() { return choice.get(); }

bool use_soft(const char* name) { return choice.use(name); }

}  // namespace prune_adapters
