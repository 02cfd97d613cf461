#include "reach.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "netgraph/native/bits.hpp"
#include "parallel.hpp"

namespace prune_adapters {
namespace {

using netgraph::kernels;
using netgraph::words_for;

constexpr Index block = 64;       // rows that are looked at together
constexpr Index padding = 8;      // words: masks are as long as whole vectors
constexpr Index grain = 1 << 15;  // elements that are worth handing to a thread

// Some rows of a weight as bits, each from a word of its own on.
class Rows {
public:
    explicit Rows(const Edges& edges_)
        : edges(edges_),
          words(words_for(edges_.shape.width())),
          no_mask(static_cast<std::size_t>(words + padding)),
          bits(static_cast<std::size_t>(block * words + padding)) {}

    // Up to `block` rows from `first` on.
    const Word* read(Index first, Index count) {
        const Index width = edges.shape.width();
        if (edges.packed) {
            for (Index r = 0; r < count; ++r) copy(first + r, bits.data() + r * words);
        } else {
            Word hits[1];
            kernels().pack_rows[static_cast<int>(edges.element)](row_at(first), count, width, no_mask.data(),
                                                                  bits.data(), hits);
        }
        return bits.data();
    }

private:
    const char* row_at(Index row) const {
        constexpr Index sizes[netgraph::n_elements] = {8, 4, 2, 2, 1};
        const Index size = sizes[static_cast<int>(edges.element)];
        return static_cast<const char*>(edges.data) + row * edges.shape.width() * size;
    }

    // The bits of one row, which may begin inside of a byte; no byte is read that holds none of them.
    void copy(Index row, Word* to) {
        const Index width = edges.shape.width(), start = row * width, first = start / 8;
        raw.assign(static_cast<std::size_t>(words + 2), 0);
        if (width > 0)
            std::memcpy(raw.data(), static_cast<const char*>(edges.data) + first,
                        static_cast<std::size_t>((start + width + 7) / 8 - first));
        netgraph::copy_bits(to, raw.data(), start - first * 8, width);
    }

    const Edges& edges;
    Index words;
    std::vector<Word> no_mask, bits, raw;
};

// Some rows that are read together, and the group that they belong to.
struct Task {
    Index group, first, count;
};

Index tasks_a_group(const Shape& shape) { return (shape.rows_a_group() + block - 1) / block; }

Task task_of(const Shape& shape, Index number) {
    const Index each = tasks_a_group(shape), group = number / each, local = number % each * block;
    return {group, group * shape.rows_a_group() + local, std::min(block, shape.rows_a_group() - local)};
}

template <class F>
void for_tasks(const Shape& shape, const F& work) {
    const Index rows = std::max<Index>(std::min(block, shape.rows_a_group()), 1);
    in_parallel(shape.groups * tasks_a_group(shape), std::max<Index>(1, grain / std::max<Index>(rows * shape.width(), 1)),
                work);
}

// A bit for each element of a row of each group: the flag of its column.
class Masks {
public:
    Masks(const Shape& shape, const std::uint8_t* flags) : length(words_for(shape.width()) + padding) {
        words.resize(static_cast<std::size_t>(shape.groups * length));
        std::vector<Word> units(static_cast<std::size_t>(words_for(shape.columns) + 1));
        for (Index group = 0; group < shape.groups; ++group) {
            kernels().bytes_to_bits(flags + group * shape.columns, shape.columns, units.data());
            netgraph::expand(units.data(), shape.columns, shape.taps, words.data() + group * length);
        }
    }
    const Word* of(Index group) const { return words.data() + group * length; }

private:
    Index length;
    std::vector<Word> words;
};

Word flags_of(const std::uint8_t* flags, Index count) {
    Word bits = 0;
    kernels().bytes_to_bits(flags, count, &bits);
    return bits;
}

}  // namespace

void reach_targets(const Edges& edges, const std::uint8_t* live, std::uint8_t* targets) {
    const Shape& shape = edges.shape;
    const Masks masks(shape, live);
    const Index words = words_for(shape.width());
    for_tasks(shape, [&](Index begin, Index end) {
        Rows rows(edges);
        for (Index number = begin; number < end; ++number) {
            const Task task = task_of(shape, number);
            const Word wanted = netgraph::low_bits(task.count);
            Word hits = 0;
            kernels().hit_rows(rows.read(task.first, task.count), task.count, words, masks.of(task.group), &wanted,
                               &hits);
            kernels().bits_to_bytes(&hits, task.count, targets + task.first);
        }
    });
}

void reach_sources(const Edges& edges, const std::uint8_t* co, std::uint8_t* sources) {
    const Shape& shape = edges.shape;
    const Index words = words_for(shape.width());
    const std::vector<Word> no_mask(static_cast<std::size_t>(words + padding));
    std::memset(sources, 0, static_cast<std::size_t>(shape.groups * shape.columns));
    std::mutex mutex;
    for_tasks(shape, [&](Index begin, Index end) {
        Rows rows(edges);
        std::vector<Word> seen(static_cast<std::size_t>(words + padding)), units(words_for(shape.columns) + 1);
        std::vector<std::uint8_t> flags(static_cast<std::size_t>(shape.columns));
        const auto leave = [&](Index group) {
            netgraph::fold(seen.data(), shape.columns, shape.taps, units.data());
            kernels().bits_to_bytes(units.data(), shape.columns, flags.data());
            const std::lock_guard<std::mutex> lock(mutex);
            std::uint8_t* to = sources + group * shape.columns;
            for (Index k = 0; k < shape.columns; ++k) to[k] |= flags[static_cast<std::size_t>(k)];
            std::fill(seen.begin(), seen.end(), Word{0});
        };
        for (Index number = begin; number < end; ++number) {
            const Task task = task_of(shape, number);
            if (const Word wanted = flags_of(co + task.first, task.count))
                kernels().join_rows(rows.read(task.first, task.count), task.count, words, no_mask.data(), &wanted,
                                    seen.data());
            if (number + 1 == end || task_of(shape, number + 1).group != task.group) leave(task.group);
        }
    });
}

Index count_consistent(const Edges& edges, const std::uint8_t* live, const std::uint8_t* co) {
    const Shape& shape = edges.shape;
    const Masks masks(shape, live);
    const Index words = words_for(shape.width());
    Index all = 0;
    std::mutex mutex;
    for_tasks(shape, [&](Index begin, Index end) {
        Rows rows(edges);
        std::vector<Word> seen(static_cast<std::size_t>(words + padding));
        Index own = 0;
        for (Index number = begin; number < end; ++number) {
            const Task task = task_of(shape, number);
            if (const Word wanted = flags_of(co + task.first, task.count))
                own += kernels().join_rows(rows.read(task.first, task.count), task.count, words, masks.of(task.group),
                                           &wanted, seen.data());
        }
        const std::lock_guard<std::mutex> lock(mutex);
        all += own;
    });
    return all;
}

}  // namespace prune_adapters
