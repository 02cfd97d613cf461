// The kernels of the convolutions, one table for each instruction set and type of element.
//
// An image comes in strips of rows, packed so that `lanes` values that take the same weight follow each other: the same
// position of `lanes` images, or `lanes` neighbouring columns of one image. The kernels know strips only by steps.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../bfloat16.hpp"
#include "netgraph/native/bits.hpp"

namespace prune_adapters {

using netgraph::Index;

// A few output channels that read the same entries, on one strip. An entry is an input channel (or one tap of it) with
// `n_taps` weights for each of the outputs.
template <class T>
struct ConvSums {
    const T* x;                   // the packed strip
    const std::int32_t* offsets;  // of the entries, in elements
    Index entries;
    const std::int32_t* taps;  // offsets, added to that of the entry
    Index n_taps;
    const T* weights;  // [entry][tap][output]
    const T* bias;     // [output], or null
    T* y;              // [output][row][vector of lanes]
    Index y_plane;     // elements between outputs
    Index rows, vectors, row_step, vector_step;
};

// Sums over positions of products of gradients and inputs: one for each of a few output channels and each offset.
template <class T>
struct ConvGradients {
    const T* grad;     // [tile][output][row][vector]
    Index grad_plane;  // elements between outputs
    const T* x;
    const std::int32_t* offsets;
    Index count;  // of offsets
    T* out;       // sums are added to [output][offset]
    Index out_step;
    Index tiles, grad_tile, x_tile;  // elements between tiles
    Index rows, vectors, row_step, vector_step;
};

// Rows of one channel of a few images.
template <class Row>
struct ConvRows {
    const Row* images;
    Index image_step, n_images;  // n_images <= lanes
    Index rows, width, row_step;  // width <= row_step
    SumOf<Row>* strip;            // [row][column][image]
    Index strip_row;
};

constexpr int n_groupings = 4;  // kernels for 1, 2, 4, 8 outputs at a time

template <class T>
struct ConvKernels {
    int lanes;
    int groupings;  // how many of them there are
    void (*sums[n_groupings])(const ConvSums<T>&);
    void (*sums3[n_groupings])(const ConvSums<T>&);  // for 3 x 3 taps side by side, steps of one vector
    int gradient_groupings;
    void (*gradients[n_groupings])(const ConvGradients<T>&);
    void (*gradients3)(const ConvGradients<T>&);  // one output, offsets in nines: 3 x 3 taps side by side
};

// What reads and writes images.
template <class Row>
struct ConvRowKernels {
    using T = SumOf<Row>;
    void (*pack)(const ConvRows<Row>&);
    void (*unpack)(const T* strip, Index positions, Row* images, Index image_step, Index n_images);
    T (*total)(const Row* values, Index count);
    void (*widen)(const Row* from, Index count, T* to);
    void (*narrow)(const T* from, Index count, Row* to);
};

struct ConvTable {
    const char* name;
    ConvKernels<float> floats;
    ConvKernels<double> doubles;
    ConvRowKernels<float> float_rows;
    ConvRowKernels<double> double_rows;
    ConvRowKernels<Bfloat16> bfloat16_rows;

    template <class T>
    const ConvKernels<T>& of() const {
        if constexpr (std::is_same_v<T, float>) return floats;
        else return doubles;
    }
    template <class Row>
    const ConvRowKernels<Row>& rows() const {
        if constexpr (std::is_same_v<Row, float>) return float_rows;
        else if constexpr (std::is_same_v<Row, double>) return double_rows;
        else return bfloat16_rows;
    }
};

extern const ConvTable conv_generic;
#ifdef NETGRAPH_X86
extern const ConvTable conv_avx2;
extern const ConvTable conv_avx512;
#endif

// The table in use, and the choice of one by name; see kernels.hpp.
const ConvTable& conv_kernels();
bool use_conv_kernels(const char* name);

}  // namespace prune_adapters
