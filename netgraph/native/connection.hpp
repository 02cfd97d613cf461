// What a pass does with one weighted connection, whatever its groups and the layout of its rows.
#pragma once

#include <vector>

#include "kernels.hpp"
#include "plan.hpp"

namespace netgraph {

// The values of a connection in the order of its bits; no data: its bits are there already.
struct Values {
    const void* data = nullptr;
    Element element = Element::uint8;
};

class ConnectionRows {
   public:
    // `scratch` keeps the temporaries from one connection to the next.
    ConnectionRows(const Plan& plan, const Weighted& connection, std::vector<Word> (&scratch)[2]);

    // Flags of the source units, repeated for each tap, group by group.
    void build_masks(const Word* units, Word* masks) const;

    // hits = the wanted rows with a bit under their mask.
    void hit(const Word* bits, const Word* masks, const Word* wanted, Word* hits) const;

    // Pack the values into bits; hits = rows with a bit under their mask. Returns false if a value is NaN.
    bool pack(const Values& values, const Word* masks, Word* bits, Word* hits) const;

    // Mark in `units` the sources of the wanted rows; returns how many of their bits lie under their masks.
    Index join(const Word* bits, const Word* masks, const Word* wanted, Word* units) const;

    // out = the bits of the wanted rows that lie under their masks.
    void restrict_to(const Word* bits, const Word* masks, const Word* wanted, Word* out) const;

   private:
    template <class F>
    void for_groups(const Word* wanted, F f) const;

    const Weighted& c_;
    const Kernels& kernels_;
    Word *first_, *second_;
};

}  // namespace netgraph
