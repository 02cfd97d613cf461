// Templates of the evaluators: breadth-first search from all nodes at once, one bit a source. `V` brings a vector of
// `V::words` words. Internal linkage throughout, as in rows.hpp.
#pragma once

#include <cstring>

#include "hops.hpp"

namespace netgraph {
namespace {

struct OneWord {
    static constexpr Index words = 1;
    using Vector = Word;

    static Vector load(const Word* at) { return *at; }
    static void store(Word* at, Vector value) { *at = value; }
    static Vector either(Vector a, Vector b) { return a | b; }
    static Vector either(Vector a, Vector b, Vector c) { return a | b | c; }
    static bool covers(Vector a, Vector all) { return a == all; }

    struct Counter {
        Index sum = 0;
        void add(Vector value) { sum += __builtin_popcountll(value); }
        Index total() const { return sum; }
    };
};

// The `Z` vectors of a row of `V`, and whether they are full: no bit of the last row of all is missing.
template <class V, int Z>
struct Seen {
    typename V::Vector bits[Z];

    explicit Seen(const Word* row) {
        for (int z = 0; z < Z; ++z) bits[z] = V::load(row + z * V::words);
    }
    void join(const Word* a) {
        for (int z = 0; z < Z; ++z) bits[z] = V::either(bits[z], V::load(a + z * V::words));
    }
    void join(const Word* a, const Word* b) {
        for (int z = 0; z < Z; ++z)
            bits[z] = V::either(bits[z], V::load(a + z * V::words), V::load(b + z * V::words));
    }
    bool covers(const Seen& all) const {
        bool every = true;
        for (int z = 0; z < Z; ++z) every &= V::covers(bits[z], all.bits[z]);
        return every;
    }
    void store(Word* row, typename V::Counter& counter) const {
        for (int z = 0; z < Z; ++z) {
            V::store(row + z * V::words, bits[z]);
            counter.add(bits[z]);
        }
    }
};

// Row v joined with the rows of its neighbours. `full`: stop as soon as nothing can be added, which pays at the last
// step, where a few neighbours are enough.
template <class V, int Z, class Name>
inline Seen<V, Z> joined_row(const Word* from, Index v, const Name* row, Index degree, const Seen<V, Z>* full) {
    constexpr Index stride = Z * V::words;
    Seen<V, Z> seen(from + v * stride);
    Index j = 0;
    for (; j + 4 <= degree; j += 4) {
        seen.join(from + row[j] * stride, from + row[j + 1] * stride);
        seen.join(from + row[j + 2] * stride, from + row[j + 3] * stride);
        if (full && seen.covers(*full)) return seen;
    }
    if (j + 2 <= degree) {
        seen.join(from + row[j] * stride, from + row[j + 1] * stride);
        j += 2;
    }
    if (j < degree) seen.join(from + row[j] * stride);
    return seen;
}

// One step of the search; `early`: look whether rows are full already.
template <class V, int Z>
inline Index step(const Table& table, Index degree, bool early, const Seen<V, Z>& full, const Word* from, Word* to) {
    constexpr Index stride = Z * V::words;
    typename V::Counter counter;
    if (early)
        for (Index v = 0; v < table.nodes; ++v)
            joined_row<V, Z>(from, v, table.cells + v * degree, degree, &full).store(to + v * stride, counter);
    else
        for (Index v = 0; v < table.nodes; ++v)
            joined_row<V, Z, Node>(from, v, table.cells + v * degree, degree, nullptr).store(to + v * stride, counter);
    return counter.total();
}

// Whether a row is likely to be full once half of its neighbours have been joined, each of which misses `missing` of all.
inline bool fills_early(double missing, Index sources, Index degree) {
    for (Index joined = 1; 2 * joined < degree; joined *= 2) missing *= missing;
    return missing * static_cast<double>(sources) < 0.5;
}

template <class V, int Z>
Seen<V, Z> all_sources(Index sources) {
    Word row[Z * V::words];
    for (Index w = 0; w < Z * V::words; ++w) {
        const Index here = sources - 64 * w;
        row[w] = here >= 64 ? all_ones : here > 0 ? (Word{1} << here) - 1 : 0;
    }
    return Seen<V, Z>(row);
}

// D: the degree if it is known when this is compiled, else 0.
template <class V, int Z, int D>
Hops sum_of_hops(const Table& table, Index limit, Word* scratch) {
    constexpr Index stride = Z * V::words, together = 64 * stride;
    const Index nodes = table.nodes, degree = D ? D : table.degree;
    Hops found{nodes * (nodes - 1), nodes > 1};
    const Word* near = table.near;
    for (Index first = 0; first < nodes; first += together, near += nodes * stride) {
        const Index last = first + together < nodes ? first + together : nodes, all = (last - first) * nodes;
        const Seen<V, Z> full = all_sources<V, Z>(last - first);
        const Word* from = near;
        Word *to = scratch, *next = scratch + nodes * stride;
        Index hops = 1, reached = table.n_near[first / together];
        for (; reached < all; ++hops) {
            found.sum += all - reached;
            if (found.sum > limit) return found;
            const double missing = static_cast<double>(all - reached) / static_cast<double>(all);
            const bool early = fills_early(missing, last - first, degree);
            const Index now = step<V, Z>(table, degree, early, full, from, to);
            if (now == reached) return {never, never};
            reached = now;
            from = to;
            to = next;
            next = const_cast<Word*>(from);
        }
        if (hops > found.diameter) found.diameter = hops;
    }
    return found;
}

using Evaluator = Hops (*)(const Table&, Index, Word*);

template <class V, int Z>
Evaluator of_degree(Index degree) {
    constexpr Evaluator known[] = {sum_of_hops<V, Z, 0>,  sum_of_hops<V, Z, 1>,  sum_of_hops<V, Z, 2>,
                                   sum_of_hops<V, Z, 3>,  sum_of_hops<V, Z, 4>,  sum_of_hops<V, Z, 5>,
                                   sum_of_hops<V, Z, 6>,  sum_of_hops<V, Z, 7>,  sum_of_hops<V, Z, 8>,
                                   sum_of_hops<V, Z, 9>,  sum_of_hops<V, Z, 10>, sum_of_hops<V, Z, 11>,
                                   sum_of_hops<V, Z, 12>, sum_of_hops<V, Z, 13>, sum_of_hops<V, Z, 14>,
                                   sum_of_hops<V, Z, 15>, sum_of_hops<V, Z, 16>};
    return known[degree <= 16 ? degree : 0];
}

// The rows are as wide as row_words says.
template <class Wide, class Narrow>
Hops sum(const Table& table, Index limit, Word* scratch) {
    const Index words = row_words(table.nodes), degree = table.degree;
    const Evaluator evaluate = words == 1    ? of_degree<OneWord, 1>(degree)
                               : words == 4  ? of_degree<Narrow, 4 / Narrow::words>(degree)
                               : words == 8  ? of_degree<Wide, 8 / Wide::words>(degree)
                                             : of_degree<Wide, 16 / Wide::words>(degree);
    return evaluate(table, limit, scratch);
}

template <class V>
Index spread(const Index* offsets, const std::int32_t* targets, Index nodes, const Word* from, Word* to) {
    constexpr int Z = spread_words / V::words;
    typename V::Counter reached;
    for (Index v = 0; v < nodes; ++v) {
        const Index degree = offsets[v + 1] - offsets[v];
        joined_row<V, Z, std::int32_t>(from, v, targets + offsets[v], degree, nullptr)
            .store(to + v * spread_words, reached);
    }
    return reached.total();
}

template <class V>
bool pull(const Index* offsets, const std::int32_t* sources, Index rows, const Word* from, const Word* seen,
          const Word* full, Word* to) {
    constexpr int Z = spread_words / V::words;
    const Seen<V, Z> all(full);
    typename V::Vector any = {};
    for (Index r = 0; r < rows; ++r, seen += spread_words, to += spread_words) {
        if (offsets[r] == offsets[r + 1]) continue;
        const Seen<V, Z> known(seen);
        if (known.covers(all)) continue;
        Seen<V, Z> found(from + sources[offsets[r]] * spread_words);
        for (Index e = offsets[r] + 1; e < offsets[r + 1]; ++e) found.join(from + sources[e] * spread_words);
        for (int z = 0; z < Z; ++z) {
            const typename V::Vector news = V::without(found.bits[z], known.bits[z]);
            any = V::either(any, news);
            V::store(to + z * V::words, V::either(V::load(to + z * V::words), news));
        }
    }
    return V::any(any);
}

template <class V>
void join(const Word* from, Index rows, Word* to) {
    constexpr int Z = spread_words / V::words;
    typename V::Counter unused;
    Seen<V, Z> found(to);
    for (Index r = 0; r < rows; ++r) found.join(from + r * spread_words);
    found.store(to, unused);
}

template <class V>
bool bring(const Word* from, Index stride, Index rows, const Word* seen, Word* to) {
    typename V::Vector any = {};
    for (Index r = 0; r < rows; ++r, from += stride, seen += spread_words, to += spread_words)
        for (int w = 0; w < spread_words; w += V::words) {
            const typename V::Vector there = V::load(to + w);
            const typename V::Vector news = V::without(V::without(V::load(from + w), V::load(seen + w)), there);
            any = V::either(any, news);
            V::store(to + w, V::either(there, news));
        }
    return V::any(any);
}

template <class V>
Index settle(const std::uint8_t* wanted, Index rows, Word* next, Word* seen, Word* front) {
    constexpr int Z = spread_words / V::words;
    typename V::Counter counter;
    for (Index r = 0; r < rows; ++r)
        for (int z = 0; z < Z; ++z) {
            const Index at = r * spread_words + z * V::words;
            const typename V::Vector news = V::load(next + at);
            V::store(seen + at, V::either(V::load(seen + at), news));
            V::store(front + at, news);
            V::store(next + at, typename V::Vector{});
            if (wanted[r]) counter.add(news);
        }
    return counter.total();
}

}  // namespace
}  // namespace netgraph
