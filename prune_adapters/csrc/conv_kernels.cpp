// Which table of convolution kernels is in use.
#include "cpu/conv.hpp"
#include "netgraph/native/isa.hpp"

namespace prune_adapters {
namespace {

const ConvTable* const fastest_first[] = {
#ifdef NETGRAPH_X86
    &conv_avx512, &conv_avx2,
#endif
    &conv_generic};

netgraph::Choice choice(fastest_first);

}  // namespace

const ConvTable& conv_kernels() { return choice.get(); }

bool use_conv_kernels(const char* name) { return choice.use(name); }

}  // namespace prune_adapters
