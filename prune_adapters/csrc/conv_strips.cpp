// Packs rows of images into strips.
#include "conv_strips.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <utility>

namespace prune_adapters {
namespace {

constexpr Index strip_bytes = Index{1} << 20;
constexpr Index largest_offset = (Index{1} << 31) - 1;

Index whole(Index count, Index unit) { return (count + unit - 1) / unit; }

void require_fitting(bool fits) {
    if (fits) return;
    throw std::runtime_error("prune_adapters: the rows of these images are too wide for the convolution; expected "
                             "fewer than 2^31 elements in the padded rows that one output row reads");
}

// The input columns that a window sees: padded column `begin` is column `first` of the image.
struct Seen {
    Index first, begin, count;
};

Seen seen(const Axis& axis) {
    const Index first = std::max<Index>(axis.begin, 0);
    const Index reach = axis.reach(axis.out), beyond = std::min(axis.begin + reach, axis.in);
    return {first, std::min(first - axis.begin, reach), std::max<Index>(beyond - first, 0)};
}

// One row of one image, its columns sorted by phase.
template <class Row>
void load_phases(const Row* row, const Seen& columns, Index stride, Index phase, SumOf<Row>* strip) {
    if (stride == 1) return conv_kernels().rows<Row>().widen(row, columns.count, strip + columns.begin);
    for (Index c = 0; c < columns.count; ++c) {
        const Index padded = columns.begin + c;
        strip[padded % stride * phase + padded / stride] = widened(row[c]);
    }
}

}  // namespace

Layout layout_of(const Window& window, Index channels, Index lanes, bool by_images, Index element_size) {
    Layout layout{};
    const Axis &rows = window.rows, &columns = window.columns;
    layout.lanes = lanes;
    layout.by_images = by_images;
    layout.vectors = by_images ? columns.out : whole(columns.out, lanes);
    layout.vector_step = by_images ? columns.stride * lanes : lanes;
    layout.phase = by_images ? 0 : layout.vectors * lanes + (columns.span() - 1) / columns.stride + 1;
    layout.strip_row = by_images ? columns.reach(columns.out) * lanes : columns.stride * layout.phase;
    layout.row_step = rows.stride * layout.strip_row;
    const Index most = largest_offset / std::max<Index>(channels, 1);
    require_fitting(layout.strip_row <= most);
    const Index a_row = std::max<Index>(channels * layout.strip_row * element_size, 1);
    Index fitting = (strip_bytes / a_row - rows.span()) / rows.stride + 1;
    fitting = fitting >= 4 ? fitting / 4 * 4 : 4 * a_row * rows.stride > 64 * strip_bytes ? 1 : 4;
    layout.out_rows = std::min(fitting, rows.out);
    layout.in_rows = rows.reach(layout.out_rows);
    require_fitting(layout.in_rows <= most / layout.strip_row - 1);
    layout.plane = layout.in_rows * layout.strip_row;
    // Planes that are whole pages apart would all want the same lines of the first cache.
    if (layout.plane * element_size % 4096 == 0) layout.plane += lanes;
    return layout;
}

template <class T>
void clear_margins(const Window& window, const Layout& layout, Index channels, T* strip) {
    if (!layout.by_images) return std::fill(strip, strip + channels * layout.plane, T{0});
    const Seen columns = seen(window.columns);
    for (Index channel = 0; channel < channels; ++channel, strip += layout.plane)
        for (T* row = strip; row < strip + layout.in_rows * layout.strip_row; row += layout.strip_row) {
            std::fill(row, row + columns.begin * layout.lanes, T{0});
            std::fill(row + (columns.begin + columns.count) * layout.lanes, row + layout.strip_row, T{0});
        }
}

template <class Row>
void load_rows(const Window& window, const Layout& layout, const Images<Row>& images, Index start, Index from,
               Index to, Index first, Index last, SumOf<Row>* strip) {
    using T = SumOf<Row>;
    const ConvRowKernels<Row>& kernels = conv_kernels().rows<Row>();
    const Axis& rows = window.rows;
    const Index top = start * rows.stride + rows.begin;  // the image's row that is row 0 of the strip
    const Index begin = std::clamp(-top, from, to), end = std::clamp(rows.in - top, begin, to);
    const Seen columns = seen(window.columns);
    const Index image_rows = window.columns.in, image_plane = rows.in * image_rows;
    for (Index channel = first; channel < last; ++channel) {
        T* plane = strip + channel * layout.plane;
        std::fill(plane + from * layout.strip_row, plane + begin * layout.strip_row, T{0});
        std::fill(plane + end * layout.strip_row, plane + to * layout.strip_row, T{0});
        if (columns.count == 0) continue;
        const Row* source = images.first + channel * image_plane + (top + begin) * image_rows + columns.first;
        T* target = plane + begin * layout.strip_row;
        if (layout.by_images) {
            kernels.pack({source, images.channels * image_plane, images.n_images, end - begin, columns.count,
                          image_rows, target + columns.begin * layout.lanes, layout.strip_row});
            continue;
        }
        for (Index row = begin; row < end; ++row, source += image_rows, target += layout.strip_row)
            load_phases(source, columns, window.columns.stride, layout.phase, target);
    }
}

namespace {

constexpr std::size_t alignment = 64, kept_bytes = std::size_t{8} << 20;
constexpr int n_kept = 4;

struct Kept {
    void* memory = nullptr;
    Index bytes = 0;
    ~Kept() { std::free(memory); }
};
thread_local Kept kept[n_kept];

}  // namespace

template <class T>
Scratch<T>::Scratch(Index count) : bytes(std::max<Index>(whole(count * sizeof(T), alignment) * alignment, alignment)) {
    for (Kept& one : kept) {
        if (one.bytes < bytes) continue;
        memory = static_cast<T*>(std::exchange(one.memory, nullptr));
        bytes = std::exchange(one.bytes, 0);
        return;
    }
    memory = static_cast<T*>(std::aligned_alloc(alignment, static_cast<std::size_t>(bytes)));
    if (!memory) throw std::bad_alloc();
}

template <class T>
Scratch<T>::~Scratch() {
    Kept* smallest = &kept[0];
    for (Kept& one : kept)
        if (one.bytes < smallest->bytes) smallest = &one;
    if (static_cast<std::size_t>(bytes) > kept_bytes || bytes <= smallest->bytes) {
        std::free(memory);
        return;
    }
    std::free(smallest->memory);
    smallest->memory = memory;
    smallest->bytes = bytes;
}

#define PRUNE_ADAPTERS_INSTANCES(T)                                          \
    template void clear_margins<T>(const Window&, const Layout&, Index, T*); \
    template class Scratch<T>;
PRUNE_ADAPTERS_INSTANCES(float)
PRUNE_ADAPTERS_INSTANCES(double)

#define PRUNE_ADAPTERS_ROWS(Row)                                                                                    \
    template void load_rows<Row>(const Window&, const Layout&, const Images<Row>&, Index, Index, Index, Index, Index, \
                                 SumOf<Row>*);
PRUNE_ADAPTERS_ROWS(float)
PRUNE_ADAPTERS_ROWS(double)
PRUNE_ADAPTERS_ROWS(Bfloat16)

}  // namespace prune_adapters
