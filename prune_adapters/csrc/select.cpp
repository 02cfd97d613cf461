#include "select.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>

#include "parallel.hpp"

namespace prune_adapters {
namespace {

constexpr Index part_size = Index{1} << 15;  // begins where a byte of bits does
constexpr Index parts_a_thread = 4;
constexpr Index n_bins = 2048;
constexpr Index few = 8192;  // that many keys are gathered without narrowing further

// The width of a bin is a power of two: the bins cover low to high.
int bin_shift(Key low, Key high) {
    const auto span = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
    int shift = 0;
    while (span >> shift >= n_bins) ++shift;
    return shift;
}

// low + (bin << shift) and the last key of that bin, none of which overflows on the way.
void enter_bin(Key& low, Key& high, Index bin, int shift) {
    low = static_cast<Key>(static_cast<std::uint64_t>(low) + (static_cast<std::uint64_t>(bin) << shift));
    const auto span = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
    const auto widest = (std::uint64_t{1} << shift) - 1;
    high = static_cast<Key>(static_cast<std::uint64_t>(low) + std::min(span, widest));
}

Index bin_of(Key key, Key low, int shift) {
    return static_cast<Index>((static_cast<std::uint64_t>(key) - static_cast<std::uint64_t>(low)) >> shift);
}

// Find the bin of the key with this rank from the top; the rank becomes that within the bin.
Index ranked_bin(const Index* counts, Index& rank) {
    Index bin = n_bins - 1;
    while (rank > counts[bin]) rank -= counts[bin--];
    return bin;
}

// The key of this rank from the top, by the same narrowing.
Key finish(std::vector<Key>& keys, Key low, Key high, Index rank) {
    while (keys.size() > 256 && low < high) {
        Index counts[n_bins] = {};
        const int shift = bin_shift(low, high);
        for (const Key key : keys) ++counts[bin_of(key, low, shift)];
        enter_bin(low, high, ranked_bin(counts, rank), shift);
        Key* end = keys.data();
        for (const Key key : keys) {  // branches would be guessed wrong
            *end = key;
            end += key >= low && key <= high;
        }
        keys.resize(static_cast<std::size_t>(end - keys.data()));
    }
    if (low == high) return low;
    std::nth_element(keys.begin(), keys.begin() + (rank - 1), keys.end(), std::greater<Key>());
    return keys[static_cast<std::size_t>(rank - 1)];
}

void unpack_flags(const std::uint8_t* bits, Index count, std::uint8_t* flags) {
    Word words[rank_block / 64];
    std::memcpy(words, bits, static_cast<std::size_t>((count + 7) / 8));
    netgraph::kernels().bits_to_bytes(words, count, flags);
}

}  // namespace

Selection::Selection(std::vector<Competitors> tensors_, Element element_, bool magnitude_)
    : tensors(std::move(tensors_)),
      element(element_),
      magnitude(magnitude_),
      least(magnitude_ ? 0 : -format_of(element_).infinity),
      most(format_of(element_).infinity) {
    for (std::size_t i = 0; i < tensors.size(); ++i)
        for (Index begin = 0; begin < tensors[i].count; begin += part_size) {
            parts.push_back({i, begin, std::min(part_size, tensors[i].count - begin)});
            total += parts.back().count;
        }
}

// Calls work(values, bits or null, first element in the part, count) for each block of a part.
template <class F>
void Selection::for_blocks(const Part& part, const F& work) const {
    const Competitors& own = tensors[part.tensor];
    const int log_size = format_of(element).log_size;
    for (Index done = 0; done < part.count; done += rank_block) {
        const Index first = part.begin + done;
        work(own.values + (first << log_size), own.bits ? own.bits + first / 8 : nullptr, done,
             std::min(rank_block, part.count - done));
    }
}

Tally Selection::tally(const Part& part, Key low, Key high) const {
    const auto count_block = ranks().tally[static_cast<int>(element)][magnitude];
    Tally found;
    for_blocks(part, [&](const char* values, const std::uint8_t* bits, Index, Index count) {
        std::uint8_t flags[rank_block];
        if (bits) unpack_flags(bits, count, flags);
        found += count_block(values, bits ? flags : nullptr, count, low, high);
    });
    return found;
}

Tally Selection::tally(Key low, Key high) const {
    Tally all;
    std::mutex mutex;
    in_parallel(static_cast<Index>(parts.size()), parts_a_thread, [&](Index begin, Index end) {
        Tally own;
        for (Index number = begin; number < end; ++number) own += tally(parts[number], low, high);
        const std::lock_guard<std::mutex> lock(mutex);
        all += own;
    });
    return all;
}

// Calls work(key) for each competing key of a part from low to high.
template <class F>
void Selection::for_inside(Index number, Key low, Key high, const F& work) const {
    const auto mark_block = ranks().mark[static_cast<int>(element)][magnitude];
    const int log_size = format_of(element).log_size;
    for_blocks(parts[number], [&](const char* values, const std::uint8_t* bits, Index, Index count) {
        std::uint8_t flags[rank_block];
        Word inside[rank_block / 64];
        mark_block(values, count, low, high, flags);
        netgraph::kernels().bytes_to_bits(flags, count, inside);
        for (Index w = 0; w < netgraph::words_for(count); ++w) {
            Word own = inside[w];
            if (bits) {
                Word competing = 0;
                std::memcpy(&competing, bits + 8 * w, static_cast<std::size_t>(std::min<Index>(8, (count + 7) / 8 - 8 * w)));
                own &= competing;
            }
            for (; own; own &= own - 1) work(key_at(log_size, magnitude, values, w * 64 + __builtin_ctzll(own)));
        }
    });
}

Bound Selection::kth_largest(Index k) const {
    Range range{least, most, k, total};
    Index nan = 0;
    const bool all_compete = std::none_of(tensors.begin(), tensors.end(), [](const auto& own) { return own.bits; });
    if (!all_compete || total <= few || k < 1 || k > total) {  // else the count of the first bounds tells as much
        const Tally all = tally(least, most);
        nan = all.nan, range.inside = all.inside;
    }
    const bool there = k >= 1 && k <= range.inside;
    if (there && !nan && range.inside > few) nan = narrow_by_sample(range);
    if (nan) return {Bound::nan, 0};
    if (!there) return k < 1 ? Bound{Bound::key, most} : Bound{Bound::lowest, least};
    while (range.low < range.high && range.inside > std::max(few, total / 16)) narrow_by_histogram(range);
    if (range.low == range.high) return {Bound::key, range.low};
    std::vector<Key> keys = gather(range);
    return {Bound::key, finish(keys, range.low, range.high, range.rank)};
}

bool Selection::competes(Index tensor, Index place) const {
    const std::uint8_t* bits = tensors[static_cast<std::size_t>(tensor)].bits;
    return !bits || (bits[place / 8] >> place % 8 & 1);
}

// One element of each stretch of equal length, at a place within it that follows no pattern of the weights.
std::vector<Key> Selection::sample() const {
    const Index size = std::min<Index>(std::max<Index>(total / 128, 512), 16384);
    std::vector<Key> keys;
    keys.reserve(static_cast<std::size_t>(size));
    const int log_size = format_of(element).log_size;
    std::size_t tensor = 0;
    Index before = 0;
    std::uint64_t state = 1;
    for (Index number = 0; number < size; ++number) {
        state = state * 6364136223846793005 + 1442695040888963407;
        const double fraction = static_cast<double>(state >> 11) * 0x1p-53;
        const double place = (static_cast<double>(number) + fraction) * static_cast<double>(total) / static_cast<double>(size);
        const Index at = std::min(static_cast<Index>(place), total - 1);
        while (at >= before + tensors[tensor].count) before += tensors[tensor++].count;
        if (competes(static_cast<Index>(tensor), at - before))
            keys.push_back(key_at(log_size, magnitude, tensors[tensor].values, at - before));
    }
    return keys;
}

// Bounds three standard deviations of a rank in the sample apart from what is looked for. Returns how many are NaN.
Index Selection::narrow_by_sample(Range& range) const {
    std::vector<Key> keys = sample();
    const auto size = static_cast<double>(keys.size());
    if (size < 64) return 0;
    const double share = static_cast<double>(range.rank) / static_cast<double>(range.inside);
    const double margin = 3 * std::sqrt(size * share * (1 - share)) + 1;
    const auto first = static_cast<Index>(std::floor(share * size - margin));
    const auto last = static_cast<Index>(std::ceil(share * size + margin));
    Key high = range.high, low = range.low;
    const auto from_top = std::greater<Key>();
    if (first >= 0) {
        std::nth_element(keys.begin(), keys.begin() + first, keys.end(), from_top);
        high = keys[static_cast<std::size_t>(first)];
    }
    if (last < static_cast<Index>(keys.size())) {
        std::nth_element(keys.begin() + std::max<Index>(first, 0), keys.begin() + last, keys.end(), from_top);
        low = keys[static_cast<std::size_t>(last)];
    }
    const Tally found = tally(low, high);
    if (range.rank <= found.above) {
        range = {high + 1, range.high, range.rank, found.above};
    } else if (range.rank <= found.above + found.inside) {
        range = {low, high, range.rank - found.above, found.inside};
    } else {
        const Index above = found.above + found.inside;
        range = {range.low, low - 1, range.rank - above, range.inside - above};
    }
    return found.nan;
}

void Selection::narrow_by_histogram(Range& range) const {
    const int shift = bin_shift(range.low, range.high);
    std::vector<Index> counts(n_bins);
    std::mutex mutex;
    in_parallel(static_cast<Index>(parts.size()), parts_a_thread, [&](Index begin, Index end) {
        std::vector<Index> own(n_bins);
        for (Index number = begin; number < end; ++number)
            for_inside(number, range.low, range.high, [&](Key key) { ++own[bin_of(key, range.low, shift)]; });
        const std::lock_guard<std::mutex> lock(mutex);
        for (Index bin = 0; bin < n_bins; ++bin) counts[bin] += own[bin];
    });
    const Index bin = ranked_bin(counts.data(), range.rank);
    enter_bin(range.low, range.high, bin, shift);
    range.inside = counts[bin];
}

std::vector<Key> Selection::gather(const Range& range) const {
    std::vector<Key> keys;
    keys.reserve(static_cast<std::size_t>(range.inside));
    std::mutex mutex;
    in_parallel(static_cast<Index>(parts.size()), parts_a_thread, [&](Index begin, Index end) {
        std::vector<Key> own;
        for (Index number = begin; number < end; ++number)
            for_inside(number, range.low, range.high, [&](Key key) { own.push_back(key); });
        const std::lock_guard<std::mutex> lock(mutex);
        keys.insert(keys.end(), own.begin(), own.end());
    });
    return keys;
}

void Selection::mark_largest(Index keep, const Bound& bound, const std::vector<std::uint8_t*>& bits) const {
    const bool all = bound.kind == Bound::lowest, none = bound.kind == Bound::nan || keep == 0;
    const auto n_parts = static_cast<Index>(parts.size());
    std::vector<Tally> found(parts.size());
    const Key key = all ? least : bound.value;
    if (!all && !none)
        in_parallel(n_parts, parts_a_thread, [&](Index begin, Index end) {
            for (Index number = begin; number < end; ++number) found[number] = tally(parts[number], key, key);
        });
    // How many of the equal ones each part may keep.
    Index left = keep;
    for (const Tally& own : found) left -= own.above;
    std::vector<Index> quota(parts.size());
    for (std::size_t number = 0; number < parts.size(); ++number)
        left -= quota[number] = std::min(left, found[number].inside);
    in_parallel(n_parts, parts_a_thread, [&](Index begin, Index end) {
        for (Index number = begin; number < end; ++number) {
            const Part& part = parts[number];
            std::uint8_t* to = bits[part.tensor] + part.begin / 8;
            if (none)
                std::memset(to, 0, static_cast<std::size_t>((part.count + 7) / 8));
            else
                mark(part, key, found[number].inside, quota[number], to);
        }
    });
}

// The bits of what is above the bound, and of the first `quota` of the `equal` elements that equal it.
void Selection::mark(const Part& part, Key bound, Index equal, Index quota, std::uint8_t* bits) const {
    const auto mark_block = ranks().mark[static_cast<int>(element)][magnitude];
    const auto pack = netgraph::kernels().bytes_to_bits;
    const bool cut = quota > 0 && quota < equal;
    for_blocks(part, [&](const char* values, const std::uint8_t* competing, Index first, Index count) {
        std::uint8_t flags[rank_block];
        Word kept[rank_block / 64], ties[rank_block / 64];
        const Index words = netgraph::words_for(count);
        const auto n_bytes = static_cast<std::size_t>((count + 7) / 8);
        mark_block(values, count, quota < equal ? bound + 1 : bound, most, flags);
        pack(flags, count, kept);
        if (cut) {
            mark_block(values, count, bound, bound, flags);
            pack(flags, count, ties);
        }
        if (competing) {
            Word own[rank_block / 64] = {};
            std::memcpy(own, competing, n_bytes);
            for (Index w = 0; w < words; ++w) kept[w] &= own[w];
            for (Index w = 0; cut && w < words; ++w) ties[w] &= own[w];
        }
        for (Index w = 0; cut && w < words; ++w)
            for (Word rest = ties[w]; rest && quota > 0; rest &= rest - 1, --quota) kept[w] |= rest & -rest;
        std::memcpy(bits + first / 8, kept, n_bytes);
    });
}

}  // namespace prune_adapters
