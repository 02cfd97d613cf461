// Exact selection among the elements of many tensors: nothing is joined or sorted.
//
// The answer is kept between two keys. A sample says where it should lie, a pass over the elements counts those above
// and between, and so proves the bounds whether or not the sample was right. A histogram over what lies between narrows
// the bounds where too much does; the rest is gathered and finished in the cache. All counts are exact, so the result
// does not depend on the sample or on the number of threads.
#pragma once

#include <vector>

#include "ranks.hpp"

namespace prune_adapters {

// The elements of one tensor, row by row, and one bit for each that says whether it competes; null: all do.
struct Competitors {
    const char* values;
    const std::uint8_t* bits;
    Index count;
};

struct Bound {
    enum Kind { key, nan, lowest } kind;  // lowest: below every element, for fewer compete than were asked for
    Key value;
};

class Selection {
public:
    Selection(std::vector<Competitors> tensors, Element element, bool magnitude);

    // The k-th largest key, k >= 1. Of k = 0 the key of infinity.
    Bound kth_largest(Index k) const;

    // Set the bits of the `keep` largest, the first of equal ones in the order of the tensors; bits[i] has a byte for
    // each eight elements of tensor i, or a part of them. `bound` is kth_largest(keep).
    void mark_largest(Index keep, const Bound& bound, const std::vector<std::uint8_t*>& bits) const;

private:
    struct Part {
        std::size_t tensor;
        Index begin, count;
    };
    struct Range {
        Key low, high;
        Index rank, inside;  // the answer is the key of this rank, from the top, of the `inside` keys of the range
    };

    template <class F>
    void for_blocks(const Part& part, const F& work) const;
    template <class F>
    void for_inside(Index part, Key low, Key high, const F& work) const;
    Tally tally(const Part& part, Key low, Key high) const;
    Tally tally(Key low, Key high) const;
    std::vector<Key> sample() const;
    bool competes(Index tensor, Index element) const;
    Index narrow_by_sample(Range& range) const;
    void narrow_by_histogram(Range& range) const;
    std::vector<Key> gather(const Range& range) const;
    void mark(const Part& part, Key bound, Index equal, Index quota, std::uint8_t* bits) const;

    std::vector<Competitors> tensors;
    std::vector<Part> parts;
    Element element;
    bool magnitude;
    Key least, most;
    Index total = 0;
};

}  // namespace prune_adapters
