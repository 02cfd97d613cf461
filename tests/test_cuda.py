"""The operators on a GPU against the references on the same inputs, and as torch sees them.

Without a GPU the same tests run on the CPU, through the shim: test_cuda_on_host.py.
"""

import os

import numpy as np
import pytest
import torch
from torch import nn

import prune_adapters as pa
from cuda_tables import Panels
from prune_adapters import ops
from prune_adapters.ops import reference

pytestmark = pytest.mark.cuda

ON_HOST = "CUDA_ON_HOST" in os.environ
DEVICE = torch.device("cpu" if ON_HOST else "cuda")
OPERATORS = torch.ops.prune_adapters
needs_gpu = pytest.mark.skipif(ON_HOST, reason="needs a GPU, not a shim")

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.complex64]
DTYPES += [torch.complex128, torch.int8, torch.bool]
FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_mask(*size: int, density: float = 0.5, seed: int = 0) -> torch.Tensor:
    return (torch.rand(size, generator=generator(seed)) < density).to(DEVICE)


def random_bits(dtype: torch.dtype, *size: int, seed: int = 0) -> torch.Tensor:
    """Return elements whose bits are all drawn: NaN, infinities and -0.0 among them."""
    n_bytes = torch.Size(size).numel() * dtype.itemsize
    drawn = torch.randint(256, (n_bytes,), dtype=torch.uint8, generator=generator(seed))
    return (drawn & 1 if dtype == torch.bool else drawn).view(dtype).view(size).to(DEVICE)


def drawn(dtype: torch.dtype, *size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(size, generator=generator(seed), dtype=torch.float64).to(dtype).to(DEVICE)


def octets(tensor: torch.Tensor) -> torch.Tensor:
    """Return the bytes of each element, so that NaN equals NaN and -0.0 does not equal 0.0."""
    return tensor.contiguous().view(-1, 1).view(torch.uint8).cpu() if tensor.numel() else torch.zeros(0, 1)


def assert_masked(after: torch.Tensor, before: torch.Tensor, mask: torch.Tensor) -> None:
    torch.testing.assert_close(octets(after), octets(before) * mask.reshape(-1, 1).cpu(), rtol=0, atol=0)


def assert_near(found: torch.Tensor, expected: np.ndarray | torch.Tensor, *, terms: int) -> None:
    """Hold that sums of so many products of normal numbers are what they are in float64."""
    assert found.device.type == DEVICE.type
    bound = TOLERANCE[found.dtype] * 2 * (1 + terms) ** 0.5
    torch.testing.assert_close(found.cpu().double(), torch.as_tensor(expected).cpu().double(), rtol=0, atol=bound)


@needs_gpu
def test_the_compiled_kernels_serve() -> None:
    assert ops.kernels()["cuda"] == "compiled"


# Masks


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_elements_of_any_dtype_and_value(dtype: torch.dtype) -> None:
    for count in [*range(10), 31, 32, 33, 127, 128, 1025, 8200]:
        tensor, mask = random_bits(dtype, count, seed=count), random_mask(count, seed=count)
        masked, by_reference = tensor.clone(), tensor.clone()
        ops.apply_masks_([masked], [ops.pack_mask(mask)])
        reference.apply_masks_([by_reference], [reference.pack_mask(mask)])

        assert_masked(masked, tensor, mask)
        assert_masked(by_reference, tensor, mask)


@pytest.mark.parametrize(
    "layout",
    [
        lambda t: t.to(memory_format=torch.channels_last),
        lambda t: t.transpose(0, 3),
        lambda t: t.permute(2, 0, 3, 1),
        lambda t: t[:, 1:],
        lambda t: t[:, :, ::2, 1::2],
        lambda t: t[0],
        lambda t: t[..., :1],
        lambda t: t[:0],
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex128, torch.int8], ids=str)
def test_any_memory_layout(layout, dtype: torch.dtype) -> None:
    whole = random_bits(dtype, 5, 6, 7, 8)
    tensor = layout(whole)
    before, mask = tensor.clone(), random_mask(*tensor.shape)
    ops.apply_masks_([tensor], [ops.pack_mask(mask)])

    assert_masked(tensor, before, mask)


def test_many_tensors_in_one_call() -> None:
    sizes = [100_000, 0, 1, 40_000, 8192, 8193, 7] * 20
    tensors = [random_bits(torch.float32, size, seed=size) for size in sizes]
    masks = [random_mask(size, density=0.1, seed=size) for size in sizes]
    masked = [tensor.clone() for tensor in tensors]
    ops.apply_masks_(masked, [ops.pack_mask(mask) for mask in masks])

    for one, tensor, mask in zip(masked, tensors, masks, strict=True):
        assert_masked(one, tensor, mask)


@pytest.mark.parametrize("size", [(), (0,), (1,), (3, 0), (7,), (8,), (9,), (5, 13), (3, 3, 3, 65), (70_001,)])
def test_packed_and_back(size: tuple[int, ...]) -> None:
    mask = random_mask(*size)
    bits = ops.pack_mask(mask)

    torch.testing.assert_close(bits, reference.pack_mask(mask))
    torch.testing.assert_close(ops.unpack_mask(bits, size), mask)


def mask_samples(name: str) -> tuple[object, ...]:
    mask = random_mask(5, 7)
    tensors = [drawn(torch.float32, 5, 7), torch.ones(5, 7, dtype=torch.bfloat16, device=DEVICE).t().contiguous().t()]
    bits = reference.pack_mask(mask)
    return {"apply_masks_": (tensors, [bits, bits]), "pack_mask": (mask,), "unpack_mask": (bits, [5, 7])}[name]


@pytest.mark.parametrize("name", ["apply_masks_", "pack_mask", "unpack_mask"])
def test_opcheck_of_masks(name: str) -> None:
    found = torch.library.opcheck(getattr(OPERATORS, name).default, mask_samples(name))

    assert set(found.values()) == {"SUCCESS"}


def test_masks_compile_in_one_graph() -> None:
    def masked(weight: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        bits = ops.pack_mask(mask)
        ops.apply_masks_([weight], [bits])
        return weight + 1, ops.unpack_mask(bits, weight.shape)

    torch._dynamo.reset()
    compiled = torch.compile(masked, backend="aot_eager", fullgraph=True, dynamic=True)
    for rows in (3, 8):
        weight, mask = drawn(torch.float32, rows, 5), random_mask(rows, 5)
        expected = torch.where(mask, weight, 0)
        plus_one, same = compiled(weight, mask)

        torch.testing.assert_close(weight, expected)
        torch.testing.assert_close(plus_one, expected + 1)
        torch.testing.assert_close(same, mask)


@pytest.mark.parametrize(
    "call",
    [
        lambda bits: OPERATORS.apply_masks_([torch.ones(9, device=DEVICE)], []),
        lambda bits: OPERATORS.apply_masks_([torch.ones(9, device=DEVICE)], [bits[:1]]),
        lambda bits: OPERATORS.apply_masks_([torch.ones(9, device=DEVICE)], [bits.int()]),
        lambda bits: OPERATORS.apply_masks_([torch.ones(9, device=DEVICE)], [bits.repeat(2)[::2]]),
        lambda bits: OPERATORS.apply_masks_([torch.ones(3, 1, device=DEVICE).expand(3, 3)], [bits]),
        lambda bits: OPERATORS.pack_mask(torch.ones(3, device=DEVICE)),
        lambda bits: OPERATORS.unpack_mask(bits, [17]),
        pytest.param(
            lambda bits: OPERATORS.apply_masks_([torch.ones(9, device=DEVICE)], [bits.cpu()]), marks=needs_gpu
        ),
    ],
)
def test_bare_operators_never_touch_memory_that_is_not_theirs(call) -> None:
    with pytest.raises(RuntimeError, match=r"arguments that do not fit; prune_adapters\.ops\.\w+ says what"):
        call(ops.pack_mask(random_mask(9)))


@pytest.mark.parametrize("make", [lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), torch.optim.AdamW])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_masks_are_kept_while_a_model_trains(make, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
    masks = {"0.weight": random_mask(8, 3, 3, 3), "3.weight": random_mask(10, 8 * 36, density=0.1)}
    model = pa.apply_masks(model.to(DEVICE, memory_format=layout), masks)
    optimizer = make(model.parameters())
    with pa.keep_masks(model, optimizer):
        for seed in range(3):
            optimizer.zero_grad()
            model(drawn(torch.float32, 4, 3, 8, 8, seed=seed)).square().sum().backward()
            optimizer.step()

    for weight, mask in ((model[0].weight, masks["0.weight"]), (model[3].weight, masks["3.weight"])):
        assert weight.device.type == DEVICE.type
        assert weight.ne(0).equal(mask)
        states = [state for state in optimizer.state[weight].values() if state.shape == mask.shape]
        assert states
        assert not any(state[~mask].any() for state in states)
    assert pa.remembered_masks(model)["0.weight"].equal(masks["0.weight"])


# Sparse linear layers

SHAPES = [(1, 1, 1, 1.0), (13, 70, 70, 0.3), (40, 33, 8, 0.5), (9, 50, 16, 0.0), (20, 3, 2, 1.0)]
SHAPES += [(50, 200, 128, 0.1) if ON_HOST else (300, 700, 256, 0.1)]
BATCHES = [0, 1, 3, 8, 9, 40, 130]


class Layer:
    """A sparse linear layer with drawn inputs on the device, and its dense twin in float64."""

    def __init__(self, shape: tuple[int, int, int, float], batch: int, dtype: torch.dtype, t_panel: int = 16) -> None:
        rows, columns, panel, density = shape
        self.matrix = Panels(rows, columns, panel, density)
        turned, perm = self.matrix.transposed(t_panel)
        tables = (self.matrix.ptr, self.matrix.idx, turned.ptr, turned.idx, perm)
        self.tables = [torch.from_numpy(table).to(DEVICE) for table in tables]
        self.panels = (panel, t_panel)
        self.x, self.grad = drawn(dtype, batch, columns, seed=1), drawn(dtype, batch, rows, seed=2)
        self.values, self.bias = drawn(dtype, self.matrix.n_values, seed=3), drawn(dtype, rows, seed=4)

    def forward(self, bias: bool = True) -> torch.Tensor:
        shape = (self.x.shape[1], *self.panels)
        return OPERATORS.csr_linear(self.x, self.values, self.bias if bias else None, *self.tables, *shape)

    def backward(self, needs: list[bool]) -> tuple[torch.Tensor, ...]:
        return OPERATORS.csr_linear_backward(self.grad, self.x, self.values, *self.tables, *self.panels, needs)

    def arguments(self, name: str) -> tuple[object, ...]:
        """Return what the operator of this name takes."""
        with_bias = (self.x, self.values, self.bias, *self.tables, self.x.shape[1], *self.panels)
        return {
            "csr_linear": with_bias,
            "csr_linear_backward": (self.grad, self.x, self.values, *self.tables, *self.panels, [True, True, True]),
            "sddmm": (self.grad, self.x, *self.tables[:2], self.panels[0]),
        }[name]

    def sampled(self) -> torch.Tensor:
        return OPERATORS.sddmm(self.grad, self.x, *self.tables[:2], self.panels[0])

    def dense(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return x, grad and bias in float64, and the matrix."""
        x, grad, values, bias = (t.double().cpu().numpy() for t in (self.x, self.grad, self.values, self.bias))
        return x, grad, bias, self.matrix.dense(values)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("batch", BATCHES)
def test_csr_linear_and_its_gradients(dtype: torch.dtype, batch: int) -> None:
    for shape in SHAPES:
        layer = Layer(shape, batch, dtype)
        x, grad, bias, weight = layer.dense()
        sampled = (grad.T @ x)[layer.matrix.rows_of, layer.matrix.columns_of]
        to_x, to_values, to_bias = layer.backward([True, True, True])

        assert_near(layer.forward(), x @ weight.T + bias, terms=shape[1])
        assert_near(layer.forward(bias=False), x @ weight.T, terms=shape[1])
        assert_near(to_x, grad @ weight, terms=shape[0])
        assert_near(to_values, sampled, terms=batch)
        assert_near(to_bias, grad.sum(0), terms=batch)
        assert_near(layer.sampled(), sampled, terms=batch)


CSR = ["csr_linear", "csr_linear_backward", "sddmm"]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", CSR)
def test_kernels_agree_with_the_reference(name: str, dtype: torch.dtype) -> None:
    layer = Layer(SHAPES[1], 40, dtype)
    found, expected = (call(*layer.arguments(name)) for call in (getattr(OPERATORS, name), getattr(reference, name)))
    small = dtype in (torch.float16, torch.bfloat16)  # the reference rounds every product
    bound = TOLERANCE[dtype] * (160 if small else 20)
    for one, other in zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]:
        torch.testing.assert_close(one, other, rtol=0, atol=bound)


@pytest.mark.parametrize("name", CSR)
def test_opcheck_of_csr(name: str) -> None:
    found = torch.library.opcheck(getattr(OPERATORS, name).default, Layer(SHAPES[2], 9, torch.float32).arguments(name))

    assert set(found.values()) == {"SUCCESS"}


def test_gradients_are_those_of_differences() -> None:
    layer = Layer(SHAPES[2], 3, torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (layer.x, layer.values, layer.bias)]
    rest = (*layer.tables, layer.x.shape[1], *layer.panels)

    def call(x: torch.Tensor, values: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return ops.csr_linear(x, values, bias, *rest)

    assert torch.autograd.gradcheck(call, inputs, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_csr_linear_compiles_in_one_graph(dtype: torch.dtype) -> None:
    layer = Layer(SHAPES[2], 9, dtype)
    rest = (*layer.tables, layer.x.shape[1], *layer.panels)

    def step(x: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return ops.csr_linear(x, values, None, *rest).relu()

    torch._dynamo.reset()
    compiled = torch.compile(step, backend="aot_eager", fullgraph=True, dynamic=True)
    for batch in (3, 40):
        x, values = drawn(dtype, batch, layer.x.shape[1]).requires_grad_(), layer.values.clone().requires_grad_()
        expected = torch.autograd.grad(step(x, values).sum(), [x, values])
        found = torch.autograd.grad(compiled(x, values).sum(), [x, values])

        torch.testing.assert_close(found, expected, rtol=0, atol=0)


@needs_gpu
def test_autocast_multiplies_in_its_dtype() -> None:
    layer = Layer(SHAPES[2], 9, torch.float32)
    rest = (*layer.tables, layer.x.shape[1], *layer.panels)
    with torch.autocast("cuda", torch.bfloat16):
        y = ops.csr_linear(layer.x, layer.values, layer.bias, *rest)
    parts = [part.bfloat16() for part in (layer.x, layer.values, layer.bias)]

    torch.testing.assert_close(y, ops.csr_linear(*parts, *rest), rtol=0, atol=0)


@pytest.mark.parametrize("needed", range(4))
def test_gradients_that_nobody_needs_are_empty(needed: int) -> None:
    layer = Layer(SHAPES[1], 9, torch.float32)
    every = layer.backward([True, True, True])
    needs = [k == needed for k in range(3)]
    for need, found, full in zip(needs, layer.backward(needs), every, strict=True):
        torch.testing.assert_close(found, full if need else full.new_empty(0), rtol=0, atol=0)


@pytest.mark.parametrize("batch", [1, 8, 130])
def test_the_same_bits_each_time(batch: int) -> None:
    layer = Layer(SHAPES[-1], batch, torch.float32)
    first = (layer.forward(), *layer.backward([True, True, True]))
    for _ in range(2):
        again = (layer.forward(), *layer.backward([True, True, True]))
        torch.testing.assert_close(again, first, rtol=0, atol=0)


@pytest.mark.parametrize("table", range(5))
def test_damaged_tables_touch_no_foreign_memory(table: int) -> None:
    for seed in range(5):
        layer = Layer(SHAPES[2], 40 if seed % 2 else 3, torch.float32)
        damaged = layer.tables[table].view(-1)
        limits, at = torch.iinfo(damaged.dtype), torch.randint(len(damaged), (9,), generator=generator(seed))
        numbers = torch.randint(limits.min, limits.max, (9,), generator=generator(seed), dtype=damaged.dtype)
        damaged[at.to(DEVICE)] = numbers.to(DEVICE)
        layer.forward()
        layer.backward([True, True, True])
    if not ON_HOST:
        torch.cuda.synchronize()


@pytest.mark.parametrize(
    "change",
    [
        lambda good: {"x": good.x.double()},
        lambda good: {"x": good.x[:, 1:]},
        lambda good: {"x": good.x[1:].t().contiguous().t()},
        lambda good: {"values": good.values[1:]},
        lambda good: {"panels": (0, 16)},
        lambda good: {"panels": (9, 16)},
        lambda good: {"panels": (40_000, 16)},
        lambda good: {"tables": [table.long() for table in good.tables]},
        lambda good: {"tables": [table[:-1] for table in good.tables]},
        pytest.param(lambda good: {"tables": [table.cpu() for table in good.tables]}, marks=needs_gpu),
    ],
)
def test_bare_csr_operators_refuse_what_does_not_fit(change) -> None:
    layer = Layer(SHAPES[2], 9, torch.float32)
    vars(layer).update(change(layer))
    for call in (layer.forward, lambda: layer.backward([True] * 3)):
        with pytest.raises(RuntimeError, match=r"arguments that do not fit; prune_adapters\.ops\.csr_linear"):
            call()


# Streams and graphs


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
