#include "connection.hpp"

#include <algorithm>

#include "narrow.hpp"

namespace netgraph {

ConnectionRows::ConnectionRows(const Plan& plan, const Weighted& connection, std::vector<Word> (&scratch)[2])
    : c_(connection), kernels_(kernels()) {
    for (std::vector<Word>& part : scratch) part.resize(plan.scratch_words);
    first_ = scratch[0].data();
    second_ = scratch[1].data();
}

void ConnectionRows::build_masks(const Word* units, Word* masks) const {
    if (c_.narrow()) {
        copy_bits(first_, units, c_.source_bit, c_.groups * c_.columns);
        return expand(first_, c_.groups * c_.columns, c_.taps, masks);
    }
    for (Index g = 0; g < c_.groups; ++g, masks += c_.group_mask_words()) {
        copy_bits(first_, units, c_.source_bit + g * c_.columns, c_.columns);
        expand(first_, c_.columns, c_.taps, masks);
    }
}

// Call f(group, wanted rows of the group); the flags of a group start a word.
template <class F>
void ConnectionRows::for_groups(const Word* wanted, F f) const {
    if (c_.groups == 1) return f(0, wanted);
    for (Index g = 0; g < c_.groups; ++g) {
        copy_bits(first_, wanted, g * c_.group_rows, c_.group_rows);
        f(g, first_);
    }
}

void ConnectionRows::hit(const Word* bits, const Word* masks, const Word* wanted, Word* hits) const {
    std::fill(hits, hits + words_for(c_.rows), Word{0});
    if (c_.narrow()) return hit_narrow(c_, bits, masks, wanted, hits);
    const Index rows = c_.group_rows, words = c_.row_words();
    for_groups(wanted, [&](Index g, const Word* rows_wanted) {
        const Word* mask = masks + g * c_.group_mask_words();
        Word* found = c_.groups == 1 ? hits : second_;
        kernels_.hit_rows(bits + g * rows * words, rows, words, mask, rows_wanted, found);
        if (c_.groups > 1) or_bits(hits, g * rows, found, 0, rows);
    });
}

bool ConnectionRows::pack(const Values& values, const Word* masks, Word* bits, Word* hits) const {
    const auto pack_rows = kernels_.pack_rows[static_cast<int>(values.element)];
    std::fill(hits, hits + words_for(c_.rows), Word{0});
    if (c_.narrow()) {
        const bool valid = pack_rows(values.data, 1, c_.rows * c_.width(), first_, bits, second_);
        std::fill(first_, first_ + words_for(c_.rows), all_ones);
        if (c_.rows % 64) first_[c_.rows / 64] = low_bits(c_.rows % 64);
        hit_narrow(c_, bits, masks, first_, hits);
        return valid;
    }
    static constexpr Index sizes[n_elements] = {8, 4, 2, 2, 1};
    const Index rows = c_.group_rows, words = c_.row_words();
    const Index group_bytes = rows * c_.width() * sizes[static_cast<int>(values.element)];
    bool valid = true;
    for (Index g = 0; g < c_.groups; ++g) {
        const char* at = static_cast<const char*>(values.data) + g * group_bytes;
        const Word* mask = masks + g * c_.group_mask_words();
        valid &= pack_rows(at, rows, c_.width(), mask, bits + g * rows * words, second_);
        or_bits(hits, g * rows, second_, 0, rows);
    }
    return valid;
}

Index ConnectionRows::join(const Word* bits, const Word* masks, const Word* wanted, Word* units) const {
    const Index rows = c_.group_rows, words = c_.row_words();
    Index count = 0;
    if (c_.narrow()) {
        const Index sources = c_.groups * c_.columns;
        std::fill(second_, second_ + words_for(sources * c_.taps), Word{0});
        count = join_narrow(c_, bits, masks, wanted, second_);
        fold(second_, sources, c_.taps, first_);
        or_bits(units, c_.source_bit, first_, 0, sources);
        return count;
    }
    for_groups(wanted, [&](Index g, const Word* rows_wanted) {
        const Word* mask = masks + g * c_.group_mask_words();
        std::fill(second_, second_ + c_.group_mask_words(), Word{0});
        count += kernels_.join_rows(bits + g * rows * words, rows, words, mask, rows_wanted, second_);
        fold(second_, c_.columns, c_.taps, first_);
        or_bits(units, c_.source_bit + g * c_.columns, first_, 0, c_.columns);
    });
    return count;
}

void ConnectionRows::restrict_to(const Word* bits, const Word* masks, const Word* wanted, Word* out) const {
    if (c_.narrow()) {
        std::fill(out, out + words_for(c_.rows * c_.width()), Word{0});
        return restrict_narrow(c_, bits, masks, wanted, out);
    }
    const Index rows = c_.group_rows, words = c_.row_words();
    for_groups(wanted, [&](Index g, const Word* rows_wanted) {
        const Index at = g * rows * words;
        kernels_.restrict_rows(bits + at, rows, words, masks + g * c_.group_mask_words(), rows_wanted, out + at);
    });
}

}  // namespace netgraph
