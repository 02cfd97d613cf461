// Fixed wiring: blocks of fan_in sources joined to fan_out targets, or explicit pairs.
#pragma once

#include "plan.hpp"

namespace netgraph {

// Mark in `targets`, from bit `target_bit` on, what the flagged units of the unit vector `sources` feed.
void follow_wire(const Plan& plan, const Wire& c, const Word* sources, Word* targets, Index target_bit, Word* scratch,
                 Word* blocks);

// Mark in the unit vector `sources` what feeds the units flagged in `targets`, a unit vector.
void trace_wire(const Plan& plan, const Wire& c, const Word* targets, Word* sources, Word* scratch, Word* blocks);

// Clear in `targets`, from bit `target_bit` on, every unit that the wiring feeds.
void clear_fed(const Plan& plan, const Wire& c, Word* targets, Index target_bit);

}  // namespace netgraph
