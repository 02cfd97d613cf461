"""What is the same for all operators on a GPU: that kernels serve, streams, graphs and errors."""

import pytest
import torch

from cuda_device import DEVICE, ON_HOST, OPERATORS, drawn, needs_gpu, random_mask
from cuda_layers import SHAPES, Layer
from prune_adapters import ops

pytestmark = pytest.mark.cuda


@needs_gpu
def test_the_compiled_kernels_serve() -> None:
    assert ops.kernels()["cuda"] == "compiled"


@pytest.mark.skipif(not ON_HOST, reason="needs a shim, not a GPU")
def test_a_launch_that_fails_is_an_error_that_names_its_operator() -> None:
    import cuda_on_host

    mask, layer = random_mask(40), Layer(SHAPES[1], 9, torch.float32)
    tensors, two = [drawn(torch.float32, 40)], (random_mask(2), random_mask(3, seed=1))
    weight, number = drawn(torch.float32, 3, 2), torch.tensor(1.0)
    calls = {
        "pack_mask": lambda: ops.pack_mask(mask),
        "csr_linear": layer.forward,
        "csr_linear_backward": lambda: layer.backward([True, False, False]),
        "kth_largest": lambda: OPERATORS.kth_largest(tensors, [], 3, False),
        "keep_largest": lambda: OPERATORS.keep_largest(tensors, [], 3, False),
        "band_stop": lambda: OPERATORS.band_stop(weight, number, number),
        "count_consistent": lambda: ops.count_consistent(weight, *two),
    }
    cuda_on_host.library.shim_refuse_launches(True)
    try:
        for name, call in calls.items():
            said = rf"prune_adapters::{name}: CUDA could not run it: unspecified .* \(cudaErrorLaunchFailure\)"
            with pytest.raises(RuntimeError, match=said):
                call()
    finally:
        cuda_on_host.library.shim_refuse_launches(False)

    assert ops.pack_mask(mask).numel() == 5  # the error is gone


@needs_gpu
def test_work_goes_to_the_current_stream() -> None:
    layer, mask = Layer(SHAPES[-1], 130, torch.float32), random_mask(300, 700)
    expected, x = layer.forward(), layer.x.clone()
    layer.x.zero_()
    bits, weight = ops.pack_mask(mask), torch.zeros(300, 700, device=DEVICE)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        layer.x.copy_(x)
        weight.fill_(1)
        found = layer.forward()
        ops.apply_masks_([weight], [bits])
    stream.synchronize()

    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(weight, mask.float())


@needs_gpu
def test_operators_are_recorded_in_a_graph() -> None:
    layer, mask = Layer(SHAPES[-1], 130, torch.float32), random_mask(300, 700)
    bits, weight = ops.pack_mask(mask), torch.ones(300, 700, device=DEVICE)
    expected = layer.forward()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = layer.forward()
        ops.apply_masks_([weight], [bits])
    found.zero_()
    weight.fill_(1)
    graph.replay()
    torch.cuda.synchronize()

    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(weight, mask.float())
