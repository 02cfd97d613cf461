// Strips: rows of images, packed for the kernels of cpu/conv.hpp.
#pragma once

#include "cpu/conv.hpp"

namespace prune_adapters {

// One dimension of a correlation: output o reads input o * stride + begin + k * step for each tap k; outside is 0.
struct Axis {
    Index in, out, stride, begin, taps, step;

    bool is_plain_three() const { return taps == 3 && stride == 1 && step == 1; }
    Index span() const { return (taps - 1) * step + 1; }
    Index reach(Index outputs) const { return (outputs - 1) * stride + span(); }  // inputs that `outputs` of them read
};

// The axis of a convolution as torch describes it.
inline Axis axis_of(Index in, Index taps, Index stride, Index padding, Index dilation) {
    const Index span = (taps - 1) * dilation + 1;
    return {in, (in + 2 * padding - span) / stride + 1, stride, -padding, taps, dilation};
}

struct Window {
    Axis rows, columns;

    Index taps() const { return rows.taps * columns.taps; }
    bool is_plain_three() const { return rows.is_plain_three() && columns.is_plain_three(); }
};

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
template <class T>
struct Images {
    const T* first;
    Index n_images, channels;
};

// Fill rows [from, to) of the strip whose first output row is `start`, for channels [first, last). Columns outside of
// the images are not written: they were zero at the start and stay so.
template <class T>
void load_rows(const ConvKernels<T>& kernels, const Window& window, const Layout& layout, const Images<T>& images,
               Index start, Index from, Index to, Index first, Index last, T* strip);

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

}  // namespace prune_adapters
