#include "wiring.hpp"

namespace netgraph {
namespace {

// to |= one bit for each of `out` units of a block iff any of its `in` units is flagged.
void join_blocks(Index groups, const Word* from, Index from_bit, Index in, Word* to, Index to_bit, Index out,
                 Word* scratch, Word* blocks) {
    if (in == 1 && out == 1) return or_bits(to, to_bit, from, from_bit, groups);
    copy_bits(scratch, from, from_bit, groups * in);
    fold(scratch, groups, in, blocks);
    expand(blocks, groups, out, scratch);
    or_bits(to, to_bit, scratch, 0, groups * out);
}

}  // namespace

void follow_wire(const Plan& plan, const Wire& c, const Word* sources, Word* targets, Index target_bit, Word* scratch,
                 Word* blocks) {
    if (!c.has_pairs())
        return join_blocks(c.groups, sources, c.source_bit, c.fan_in, targets, target_bit, c.fan_out, scratch, blocks);
    for (Index i = c.first_pair; i < c.first_pair + c.n_pairs; ++i)
        if (get_bit(sources, c.source_bit + plan.pair_source[i])) set_bit(targets, target_bit + plan.pair_target[i]);
}

void trace_wire(const Plan& plan, const Wire& c, const Word* targets, Word* sources, Word* scratch, Word* blocks) {
    if (!c.has_pairs())
        return join_blocks(c.groups, targets, c.target_bit, c.fan_out, sources, c.source_bit, c.fan_in, scratch,
                           blocks);
    for (Index i = c.first_pair; i < c.first_pair + c.n_pairs; ++i)
        if (get_bit(targets, c.target_bit + plan.pair_target[i])) set_bit(sources, c.source_bit + plan.pair_source[i]);
}

void clear_fed(const Plan& plan, const Wire& c, Word* targets, Index target_bit) {
    if (!c.has_pairs()) return clear_range(targets, target_bit, c.groups * c.fan_out);
    for (Index i = c.first_pair; i < c.first_pair + c.n_pairs; ++i) {
        const Index bit = target_bit + plan.pair_target[i];
        targets[bit / 64] &= ~(Word{1} << (bit % 64));
    }
}

}  // namespace netgraph
