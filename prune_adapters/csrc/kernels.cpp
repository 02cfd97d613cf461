// Which table of kernels is in use, and what needs none.
#include "kernels.hpp"

#include <algorithm>
#include <cstring>

#include "cpu/conv.hpp"
#include "linear_kernels.hpp"
#include "netgraph/native/isa.hpp"
#include "netgraph/native/kernels.hpp"
#include "ranks.hpp"
#include "soft.hpp"

namespace prune_adapters {
namespace {

const Kernels* const fastest_first[] = {
#ifdef NETGRAPH_X86
    &kernels_avx512, &kernels_avx2,
#endif
    &kernels_generic};

netgraph::Choice choice(fastest_first);

// netgraph's loops work on whole aligned words, tensors of bytes need not.
constexpr Index block = 4096;
struct Block {
    Word words[block / 64];
};

}  // namespace

const Kernels& kernels() { return choice.get(); }

bool use_kernels(const char* name) {
    return choice.use(name) && use_linear_kernels(name) && use_conv_kernels(name) && use_ranks(name) && use_soft(name) &&
           netgraph::use_kernels(name);
}

void pack(const std::uint8_t* flags, Index count, std::uint8_t* bits) {
    Block packed;
    for (Index done = 0; done < count; done += block) {
        const Index now = std::min(block, count - done);
        netgraph::kernels().bytes_to_bits(flags + done, now, packed.words);
        std::memcpy(bits + done / 8, packed.words, static_cast<std::size_t>((now + 7) / 8));
    }
}

void unpack(const std::uint8_t* bits, Index count, std::uint8_t* flags) {
    Block packed;
    for (Index done = 0; done < count; done += block) {
        const Index now = std::min(block, count - done);
        std::memcpy(packed.words, bits + done / 8, static_cast<std::size_t>((now + 7) / 8));
        netgraph::kernels().bits_to_bytes(packed.words, now, flags + done);
    }
}

}  // namespace prune_adapters
