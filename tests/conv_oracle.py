"""Sparse convolutions to test with: masks, tables made by hand, and the dense weight that torch convolves with."""

import numpy as np

FAMILIES = ("pair", "sparse", "block")


def csr(mask):
    """Return ptr and idx of a matrix of bool, as int32."""
    ptr = np.concatenate([[0], mask.sum(1).cumsum()]).astype(np.int32)
    return ptr, mask.nonzero()[1].astype(np.int32)


def tables(family, mask):
    """Return the five tables of a mask: (out, in), for single taps (out, in, height, width)."""
    outputs, inputs = mask.shape[:2]
    place = np.full(mask.shape, -1, np.int64)
    place[mask] = np.arange(mask.sum())
    across = mask.swapaxes(0, 1)
    rows, columns = mask.reshape(outputs, mask[0].size), across.reshape(inputs, across[0].size)
    return *csr(rows), *csr(columns), place.swapaxes(0, 1)[across].astype(np.int32)


def values_shape(family, mask, kernel, blocks):
    count = int(mask.sum())
    return {"pair": (count, *kernel), "sparse": (count,), "block": (count, *blocks, *kernel)}[family]


def dense(family, mask, values, kernel, blocks):
    """Return the weight (out, in, height, width)."""
    if family == "sparse":
        weight = np.zeros(mask.shape, values.dtype)
    else:
        weight = np.zeros((*mask.shape, *values.shape[1:]), values.dtype)
    weight[mask] = values
    if family != "block":
        return weight
    return np.ascontiguousarray(weight.swapaxes(1, 2)).reshape(
        mask.shape[0] * blocks[0], mask.shape[1] * blocks[1], *kernel
    )


def values_of(family, mask, weight, blocks):
    """Return the values of a dense weight: the inverse of `dense`."""
    if family != "block":
        return weight[mask]
    height, width = weight.shape[2:]
    return weight.reshape(mask.shape[0], blocks[0], mask.shape[1], blocks[1], height, width).swapaxes(1, 2)[mask]


def out_size(size, kernel, stride, padding, dilation):
    return (size + 2 * padding - (kernel - 1) * dilation - 1) // stride + 1


def windows(x, kernel, stride, padding, dilation, size):
    """Yield ky, kx and the part of the padded x that tap (ky, kx) meets, as a view."""
    padded = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    for ky in range(kernel[0]):
        for kx in range(kernel[1]):
            rows = slice(ky * dilation[0], ky * dilation[0] + (size[0] - 1) * stride[0] + 1, stride[0])
            columns = slice(kx * dilation[1], kx * dilation[1] + (size[1] - 1) * stride[1] + 1, stride[1])
            yield ky, kx, padded, (slice(None), slice(None), rows, columns)


def forward(x, weight, bias, window):
    """Return the convolution in numpy; window = (stride, padding, dilation)."""
    kernel = weight.shape[2:]
    size = [out_size(x.shape[2 + d], kernel[d], *(w[d] for w in window)) for d in range(2)]
    y = np.zeros((len(x), len(weight), *size), x.dtype)
    for ky, kx, padded, part in windows(x, kernel, *window, size):
        y += np.einsum("oi,nihw->nohw", weight[:, :, ky, kx], padded[part])
    return y if bias is None else y + bias[:, None, None]


def gradients(grad, x, weight, window):
    """Return the gradients of x, of the dense weight and of the bias in numpy."""
    padding = window[1]
    grad_weight, grad_x = np.zeros_like(weight), None
    for ky, kx, padded, part in windows(x, weight.shape[2:], *window, grad.shape[2:]):
        grad_x = np.zeros_like(padded) if grad_x is None else grad_x
        grad_x[part] += np.einsum("oi,nohw->nihw", weight[:, :, ky, kx], grad)
        grad_weight[:, :, ky, kx] = np.einsum("nohw,nihw->oi", grad, padded[part])
    height, width = x.shape[2:]
    inner = grad_x[:, :, padding[0] : padding[0] + height, padding[1] : padding[1] + width]
    return inner, grad_weight, grad.sum((0, 2, 3))
