// Templates of the evaluator of graphs with a cyclic symmetry. Row m holds what node (m, 0) reaches, one lane of `G`
// bits for each orbit; what it reaches through an arc is the row of the arc's end with all lanes rotated.
#pragma once

#include "hop_rows.hpp"

namespace netgraph {
namespace {

// The lowest `count` bits of every lane of G bits.
template <int G>
constexpr Word low_lanes(std::uint32_t count) {
    constexpr Word lane = all_ones >> (64 - G), lowest = all_ones / lane;
    return (count >= 64 ? all_ones : (Word{1} << count) - 1) * lowest;
}

// The part of a row from word `at` on, joined with the turned rows of its arcs; `full` as in joined_row.
template <class V, int G, int Z>
inline Seen<V, Z> joined_lifted(const Lift& lift, Index row, Index words, const Word* from, const Seen<V, Z>* full) {
    using Turn = typename V::template Turn<G>;
    Seen<V, Z> seen(from + row * words);
    const Arc* arcs = lift.cells + row * lift.degree;
    Index j = 0;
    for (; j + 2 <= lift.degree; j += 2) {
        const Word *a = from + (arcs[j] >> 8) * words, *b = from + (arcs[j + 1] >> 8) * words;
        const Turn turn_a(arcs[j] & 0xff), turn_b(arcs[j + 1] & 0xff);
        for (int z = 0; z < Z; ++z)
            seen.bits[z] = V::either(seen.bits[z], turn_a(V::load(a + z * V::words)), turn_b(V::load(b + z * V::words)));
        if (full && seen.covers(*full)) return seen;
    }
    if (j < lift.degree) {
        const Word* a = from + (arcs[j] >> 8) * words;
        const Turn turn(arcs[j] & 0xff);
        for (int z = 0; z < Z; ++z) seen.bits[z] = V::either(seen.bits[z], turn(V::load(a + z * V::words)));
    }
    return seen;
}

// One step of the search; `early`: look whether rows are full already.
template <class V, int G, int Z>
inline Index lifted_step(const Lift& lift, Index words, bool early, const Word* from, Word* to) {
    constexpr Index part = Z * V::words;
    const Index nodes = lift.rows * G;
    typename V::Counter counter;
    for (Index at = 0; at < words; at += part) {
        const Seen<V, Z> full = all_sources<V, Z>(nodes - 64 * at);
        if (early)
            for (Index row = 0; row < lift.rows; ++row)
                joined_lifted<V, G, Z>(lift, row, words, from + at, &full).store(to + row * words + at, counter);
        else
            for (Index row = 0; row < lift.rows; ++row)
                joined_lifted<V, G, Z>(lift, row, words, from + at, nullptr).store(to + row * words + at, counter);
    }
    return counter.total();
}

template <class V, int G, int Z>
Hops lifted_sum_of(const Lift& lift, Index limit, Word* scratch) {
    const Index nodes = lift.rows * G, words = lifted_row_words(nodes), all = lift.rows * nodes;
    const Word* from = lift.near;
    Word *to = scratch, *next = scratch + lift.rows * words;
    Hops found{lift.rows * (nodes - 1), 1};
    for (Index reached = lift.rows * (lift.degree + 1); reached < all; ++found.diameter) {
        found.sum += all - reached;
        if (found.sum > limit) return found;
        const double missing = static_cast<double>(all - reached) / static_cast<double>(all);
        const Index now = lifted_step<V, G, Z>(lift, words, fills_early(missing, nodes, lift.degree), from, to);
        if (now == reached) return {never, never};
        reached = now;
        from = to;
        to = next;
        next = const_cast<Word*>(from);
    }
    return found;
}

template <class V, int G>
Hops lifted_sum_by_width(const Lift& lift, Index limit, Word* scratch) {
    constexpr int least = 8 / V::words;  // vectors in eight words
    const Index words = lifted_row_words(lift.rows * G);
    if (words == 8) return lifted_sum_of<V, G, least>(lift, limit, scratch);
    if (words == 16 || least > 2) return lifted_sum_of<V, G, 2 * least>(lift, limit, scratch);
    return lifted_sum_of<V, G, 4>(lift, limit, scratch);
}

template <class V>
Hops lifted_sum(const Lift& lift, Index limit, Word* scratch) {
    if (lift.group == 4) return lifted_sum_by_width<V, 4>(lift, limit, scratch);
    if (lift.group == 8) return lifted_sum_by_width<V, 8>(lift, limit, scratch);
    if (lift.group == 16) return lifted_sum_by_width<V, 16>(lift, limit, scratch);
    if (lift.group == 32) return lifted_sum_by_width<V, 32>(lift, limit, scratch);
    return lifted_sum_by_width<V, 64>(lift, limit, scratch);
}

template <class Wide, class Narrow>
constexpr HopKernels hop_kernels_of() {
    return {sum<Wide, Narrow>, lifted_sum<Wide>, spread<Wide>, pull<Wide>, join<Wide>, bring<Wide>, settle<Wide>};
}

}  // namespace
}  // namespace netgraph
