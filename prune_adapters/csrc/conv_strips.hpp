// Strips: rows of images, packed for the kernels of cpu/conv.hpp.
#pragma once

#include "conv_tables.hpp"
#include "cpu/conv.hpp"

namespace prune_adapters {

// How a strip lies in memory: [channel][row][column][image], or, by columns, [channel][row][phase][column] of one
// image, where column c of the padded row has phase c % stride. All steps in elements.
struct Layout {
    Index lanes;
    bool by_images;
    Index out_rows;               // the most that a strip has
    Index in_rows;                // that those read
    Index vectors;                // to an output row
    Index row_step, vector_step;  // of the input, from one output row or vector to the next
    Index phase, strip_row, plane;

    Index column(const Window& window, Index padded) const {
        if (by_images) return padded * lanes;
        return padded % window.columns.stride * phase + padded / window.columns.stride;
    }
    Index tap(const Window& window, Index ky, Index kx) const {
        return ky * window.rows.step * strip_row + column(window, kx * window.columns.step);
    }
};

// Rows enough for whole blocks of a kernel, few enough that a strip stays in the second cache. Raises if offsets would
// not fit 32 bits.
Layout layout_of(const Window& window, Index channels, Index lanes, bool by_images, Index element_size);

// A few images, channels first, of which a strip shows some rows.
template <class Row>
struct Images {
    const Row* first;
    Index n_images, channels;
};

// Set the columns outside of the images to 0, once: they stay so.
template <class T>
void clear_margins(const Window& window, const Layout& layout, Index channels, T* strip);

// Fill rows [from, to) of the strip whose first output row is `start`, for channels [first, last), but for its margins.
template <class Row>
void load_rows(const Window& window, const Layout& layout, const Images<Row>& images, Index start, Index from,
               Index to, Index first, Index last, SumOf<Row>* strip);

// Memory of this thread, aligned for vectors, not cleared. A few MiB are kept for the next call.
template <class T>
class Scratch {
public:
    explicit Scratch(Index count);
    ~Scratch();
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    T* data() const { return memory; }

private:
    T* memory;
    Index bytes;
};

// Numbers as they are computed with: a copy where they are of 16 bits. None of null.
template <class Row>
class Wide {
public:
    using T = SumOf<Row>;

    Wide(const Row* from, Index count) : room(is_same || !from ? 0 : count) {
        if constexpr (is_same) {
            numbers = from;
        } else if (from) {
            conv_kernels().rows<Row>().widen(from, count, room.data());
            numbers = room.data();
        }
    }
    const T* data() const { return numbers; }

private:
    static constexpr bool is_same = std::is_same_v<Row, T>;
    const Scratch<T> room;
    const T* numbers = nullptr;
};

}  // namespace prune_adapters
