"""The sparse convolutions: compiled against plain torch, and as torch sees them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F

import conv_oracle as oracle
from prune_adapters import ops
from prune_adapters.ops import reference

OPERATORS = torch.ops.prune_adapters
FUNCTIONS = {"pair": ops.pair_conv2d, "sparse": ops.sparse_conv2d, "block": ops.block_conv2d}
each_family = pytest.mark.parametrize("family", oracle.FAMILIES)


@pytest.fixture(params=["generic", "avx2", "avx512"] if ops.library else ["reference"])
def kernels(request: pytest.FixtureRequest) -> Iterator[None]:
    """Sets what serves the operators on the CPU to one instruction set after the other, or to the reference."""
    if ops.library is None:
        yield
        return
    before = ops.library.prune_adapters_isa()
    if not ops.library.prune_adapters_use_isa(request.param.encode()):
        pytest.skip(f"this processor has no {request.param}")
    yield
    ops.library.prune_adapters_use_isa(before)


@dataclass(frozen=True)
class Case:
    """A sparse convolution with everything drawn."""

    family: str
    mask: torch.Tensor
    tables: tuple[torch.Tensor, ...]
    kernel: tuple[int, int]
    blocks: tuple[int, int]
    x: torch.Tensor
    values: torch.Tensor
    bias: torch.Tensor
    window: tuple[list[int], list[int], list[int]] = ([2, 1], [1, 1], [1, 2])

    @property
    def name(self) -> str:
        return f"{self.family}_conv2d"

    @property
    def numbers(self) -> list[list[int]]:
        """What follows the tables in the operator."""
        return [list(self.kernel)] * (self.family == "sparse") + list(self.window)

    def __call__(self, x: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        return FUNCTIONS[self.family](x, values, bias, *self.tables, *self.numbers)

    def dense(self, x: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """The same with a dense weight, through torch's convolution."""
        if self.family == "sparse":
            weight = values.new_zeros(self.mask.shape).masked_scatter(self.mask, values)
        else:
            weight = values.new_zeros(*self.mask.shape, *values.shape[1:])
            weight = weight.index_put(tuple(self.mask.nonzero().T), values)
        if self.family == "block":
            weight = weight.transpose(1, 2).flatten(2, 3).flatten(0, 1)
        return F.conv2d(x, weight, bias, *self.window)


def draw(
    family: str, *, density: float = 0.5, batch: int = 3, dtype: torch.dtype = torch.float64, seed: int = 0
) -> Case:
    generator = torch.Generator().manual_seed(seed)
    kernel, blocks = (3, 2), (2, 3) if family == "block" else (1, 1)
    mask = torch.rand(5, 4, *(kernel if family == "sparse" else ()), generator=generator) < density
    tables = tuple(torch.from_numpy(table) for table in oracle.tables(family, mask.numpy()))
    shapes = (batch, 4 * blocks[1], 6, 7), oracle.values_shape(family, mask.numpy(), kernel, blocks), (5 * blocks[0],)
    x, values, bias = (torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes)
    return Case(family, mask, tables, kernel, blocks, x, values, bias)


def leaves(case: Case) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x, values, bias = (tensor.clone().requires_grad_() for tensor in (case.x, case.values, case.bias))
    return x, values, bias


@pytest.mark.usefixtures("kernels")
@each_family
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("batch", [0, 1, 3, 19])
def test_the_result_and_all_gradients_are_those_of_the_dense_weight(
    family: str, dtype: torch.dtype, batch: int
) -> None:
    narrow = dtype.itemsize == 2
    case = draw(family, batch=batch, dtype=dtype)
    exact = replace(case, x=case.x.double(), values=case.values.double(), bias=case.bias.double())
    own, dense = leaves(case), leaves(exact)
    y, wanted = case(*own), exact.dense(*dense)
    grad = torch.randn(wanted.shape, dtype=torch.float64).to(dtype)
    found = torch.autograd.grad(y, own, grad)
    expected = torch.autograd.grad(wanted, dense, grad.double())
    tolerance = {"rtol": 2e-2, "atol": 0.1} if narrow else {"rtol": 1e-4, "atol": 1e-4}
    if dtype == torch.float64:
        tolerance = {"rtol": 1e-12, "atol": 1e-12}

    assert (y.dtype, y.is_contiguous()) == (dtype, True)
    for one, other in zip((y, *found), (wanted, *expected), strict=True):
        torch.testing.assert_close(one.double(), other, **tolerance)


@each_family
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_the_reference_is_the_dense_weight(family: str, density: float) -> None:
    case = draw(family, density=density)
    y = getattr(reference, case.name)(case.x, case.values, case.bias, *case.tables, *case.numbers)
    grad = torch.randn_like(y)
    own = leaves(case)
    expected = torch.autograd.grad(case.dense(*own), own, grad)
    backward = getattr(reference, f"{case.name}_backward")
    found = backward(grad, case.x, case.values, *case.tables, *case.numbers, [True, True, True])

    torch.testing.assert_close(y, case.dense(case.x, case.values, case.bias))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.usefixtures("kernels")
@each_family
def test_gradcheck(family: str) -> None:
    case = draw(family, batch=2)

    assert torch.autograd.gradcheck(case, leaves(case), fast_mode=True)


@pytest.mark.skipif(ops.library is None, reason="the compiled operators are missing")
@pytest.mark.usefixtures("kernels")
@each_family
@pytest.mark.parametrize("window", [([1, 1], [1, 1], [1, 1]), ([2, 3], [0, 2], [2, 1])])
def test_the_same_bits_whatever_the_number_of_threads(family: str, window: tuple) -> None:
    case = replace(draw(family, batch=37, dtype=torch.float32), window=window)
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            own = leaves(case)
            y = case(*own)
            found.append([y, *torch.autograd.grad(y, own, torch.cos(torch.arange(y.numel()).view(y.shape)))])
    finally:
        torch.set_num_threads(before)

    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=0)


@pytest.mark.skipif(ops.library is None, reason="the compiled operators are missing")
@pytest.mark.usefixtures("kernels")
@each_family
def test_an_image_alone_has_the_bits_that_it_has_in_a_batch(family: str) -> None:
    case = replace(draw(family, batch=33, dtype=torch.float32), window=([1, 1], [1, 1], [1, 1]))
    together = case(case.x, case.values, case.bias)

    torch.testing.assert_close(case(case.x[16:17], case.values, case.bias), together[16:17], rtol=0, atol=0)


@each_family
@pytest.mark.parametrize("needs", [[True, False, False], [False, True, False], [False, False, True], [False] * 3])
def test_only_gradients_that_are_needed_are_computed(family: str, needs: list[bool]) -> None:
    case = draw(family)
    grad = torch.randn_like(case(case.x, case.values))
    operator = getattr(OPERATORS, f"{case.name}_backward")
    arguments = (grad, case.x, case.values, *case.tables, *case.numbers)
    every, some = operator(*arguments, [True] * 3), operator(*arguments, needs)

    for need, one, other in zip(needs, some, every, strict=True):
        torch.testing.assert_close(one, other if need else other.new_empty(0))


@each_family
def test_layouts_that_are_not_contiguous(family: str) -> None:
    case = draw(family)
    expected = case(case.x, case.values, case.bias)
    x = case.x.to(memory_format=torch.channels_last).requires_grad_()
    values = case.values.repeat_interleave(2, 0)[::2]
    y = case(x, values, case.bias.repeat_interleave(2)[::2])
    y.backward(torch.ones(1, 1, 1, 1, dtype=y.dtype).expand(y.shape))

    torch.testing.assert_close(y, expected, rtol=0, atol=0)
    own = case.x.clone().requires_grad_()
    case(own, case.values).sum().backward()
    torch.testing.assert_close(x.grad, own.grad)


@each_family
def test_opcheck(family: str) -> None:
    case = draw(family)
    grad = torch.randn_like(case(case.x, case.values))
    layer, backward = getattr(OPERATORS, case.name).default, getattr(OPERATORS, f"{case.name}_backward").default
    narrow = draw(family, dtype=torch.bfloat16)
    assert set(torch.library.opcheck(layer, (*leaves(narrow), *narrow.tables, *narrow.numbers)).values()) == {"SUCCESS"}
    for bias in (None, case.bias.clone().requires_grad_()):
        own = leaves(case)[:2]
        found = torch.library.opcheck(layer, (*own, bias, *case.tables, *case.numbers))
        assert set(found.values()) == {"SUCCESS"}
    arguments = (grad, case.x, case.values, *case.tables, *case.numbers, [True, False, True])
    found = torch.library.opcheck(backward, arguments)

    assert set(found.values()) == {"SUCCESS"}


@each_family
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_in_one_graph(family: str, dynamic: bool) -> None:
    torch._dynamo.reset()
    case = draw(family)
    compiled = torch.compile(lambda *a: case(*a).relu() * 2, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for batch in (3, 5):
        own, dense = leaves(draw(family, batch=batch)), leaves(draw(family, batch=batch))
        y, expected = compiled(*own), case.dense(*dense).relu() * 2
        y.sum().backward()
        expected.sum().backward()

        torch.testing.assert_close(y, expected)
        for one, other in zip(own, dense, strict=True):
            torch.testing.assert_close(one.grad, other.grad)


class Layer(torch.nn.Module):
    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case, self.values = case, torch.nn.Parameter(case.values)
        for k, table in enumerate(case.tables):
            self.register_buffer(f"table{k}", table)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tables = tuple(getattr(self, f"table{k}") for k in range(5))
        return replace(self.case, tables=tables)(x, self.values)


@each_family
def test_exports_with_a_batch_of_any_size(family: str) -> None:
    layer = Layer(draw(family))
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(layer, (layer.case.x,), dynamic_shapes=({0: batch},), strict=False)
    x = draw(family, batch=7, seed=1).x

    assert any(layer.case.name in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(x), layer(x))


@each_family
def test_autocast_computes_in_float32(family: str) -> None:
    case = draw(family, dtype=torch.float32)
    values = case.values.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = case(case.x.bfloat16(), values, case.bias)
    y.sum().backward()

    assert (y.dtype, values.grad.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(y, case(case.x.bfloat16().float(), case.values, case.bias))


@each_family
def test_vmap_over_images_values_and_bias(family: str) -> None:
    case = draw(family)
    x = torch.randn(4, *case.x.shape, dtype=case.x.dtype)
    values = torch.randn(4, *case.values.shape, dtype=case.x.dtype)

    torch.testing.assert_close(
        torch.vmap(case, in_dims=(1, None, None))(x.movedim(0, 1), case.values, case.bias),
        torch.stack([case(one, case.values, case.bias) for one in x]),
    )
    torch.testing.assert_close(
        torch.vmap(case, in_dims=(0, 0, None))(x, values, case.bias),
        torch.stack([case(one, own, case.bias) for one, own in zip(x, values, strict=True)]),
    )


@each_family
def test_gradients_of_torch_func(family: str) -> None:
    case = draw(family)

    def loss(values: torch.Tensor, x: torch.Tensor, layer: Callable[..., torch.Tensor]) -> torch.Tensor:
        return layer(x, values, case.bias).square().sum()

    torch.testing.assert_close(
        torch.func.grad(loss)(case.values, case.x, case), torch.func.grad(loss)(case.values, case.x, case.dense)
    )
    x = torch.randn(4, *case.x.shape, dtype=case.x.dtype)
    torch.testing.assert_close(
        torch.vmap(torch.func.grad(loss), in_dims=(None, 0, None))(case.values, x, case),
        torch.stack([torch.func.grad(loss)(case.values, one, case.dense) for one in x]),
    )


@each_family
def test_the_gradients_have_no_gradients(family: str) -> None:
    case = draw(family)
    own = leaves(case)
    (grad,) = torch.autograd.grad(case(*own).square().sum(), own[:1], create_graph=True)

    with pytest.raises(RuntimeError, match=rf"{case.name}_backward: has no gradient; differentiate it once"):
        grad.sum().backward()


def test_meta_tensors_have_shapes() -> None:
    for family in oracle.FAMILIES:
        case = draw(family)
        meta = replace(case, tables=tuple(table.to("meta") for table in case.tables))

        assert meta(case.x.to("meta"), case.values.to("meta")).shape == case(case.x, case.values).shape


def test_numbers_for_both_dimensions() -> None:
    case = draw("pair")
    one = ops.pair_conv2d(case.x, case.values, None, *case.tables, stride=2, padding=1, dilation=1)
    two = ops.pair_conv2d(case.x, case.values, None, *case.tables, stride=(2, 2), padding=(1, 1))

    torch.testing.assert_close(one, two, rtol=0, atol=0)


PAIR, SPARSE, BLOCK = (draw(family) for family in oracle.FAMILIES)


def swapped(case: Case, number: int, table: torch.Tensor) -> Case:
    return replace(case, tables=(*case.tables[:number], table, *case.tables[number + 1 :]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PAIR(PAIR.x.int(), PAIR.values), "pair_conv2d: expected x of a floating dtype, got torch.int32"),
        (
            lambda: PAIR(PAIR.x[0], PAIR.values),
            r"expected x of shape \(batch, channels, height, width\), got \(4, 6, 7\)",
        ),
        (lambda: PAIR(PAIR.x[:, 1:], PAIR.values), "expected x with 4 channels, as t_ptr has it, got 3"),
        (lambda: BLOCK(BLOCK.x[:, 1:], BLOCK.values), "expected x with 12 channels, as t_ptr has it, got 11"),
        (
            lambda: PAIR(PAIR.x, PAIR.values[:, 0]),
            r"expected values of shape \(n_pairs, height, width\), got \(\d+, 2\)",
        ),
        (lambda: PAIR(PAIR.x, PAIR.values[1:]), r"expected values of length \d+, as idx, got \d+"),
        (
            lambda: PAIR(PAIR.x, PAIR.values[:, :, :0]),
            r"expected sizes of at least 1, got values of shape \(\d+, 3, 0\)",
        ),
        (lambda: SPARSE(SPARSE.x, SPARSE.values[1:]), r"sparse_conv2d: expected values of length \d+, as idx"),
        (lambda: PAIR(PAIR.x, PAIR.values.float()), "expected values of dtype torch.float64, as x, got torch.float32"),
        (lambda: PAIR(PAIR.x, PAIR.values.to("meta")), "expected values on cpu, as x, got meta"),
        (lambda: PAIR(PAIR.x, PAIR.values, PAIR.bias[1:]), r"expected bias of shape \(5,\), got \(4,\)"),
        (lambda: PAIR(PAIR.x, PAIR.values, PAIR.bias.float()), "expected bias of dtype torch.float64, as x"),
        (
            lambda: swapped(PAIR, 1, PAIR.tables[1].long())(PAIR.x, PAIR.values),
            "expected idx of dtype torch.int32, got torch.int64",
        ),
        (
            lambda: swapped(PAIR, 0, PAIR.tables[0].to("meta"))(PAIR.x, PAIR.values),
            "expected ptr on cpu, as x, got meta",
        ),
        (
            lambda: swapped(PAIR, 0, PAIR.tables[0][:0])(PAIR.x, PAIR.values),
            r"expected ptr of shape \(channels \+ 1,\), got \(0,\)",
        ),
        (
            lambda: swapped(PAIR, 4, PAIR.tables[4][1:])(PAIR.x, PAIR.values),
            r"expected t_perm of shape \(\d+,\), as idx, got \(\d+,\)",
        ),
        (
            lambda: swapped(PAIR, 1, PAIR.tables[1][None])(PAIR.x, PAIR.values),
            r"expected idx of shape \(count,\), got \(1, \d+\)",
        ),
        (
            lambda: replace(PAIR, window=([0, 1], [1, 1], [1, 1]))(PAIR.x, PAIR.values),
            r"pair_conv2d: stride: expected one or two numbers of at least 1, got \[0, 1\]",
        ),
        (
            lambda: replace(PAIR, window=([1, 1], [1, -1], [1, 1]))(PAIR.x, PAIR.values),
            r"padding: expected one or two numbers of at least 0, got \[1, -1\]",
        ),
        (
            lambda: replace(PAIR, window=([1, 1], [0, 0], [3, 1]))(PAIR.x, PAIR.values),
            r"expected images of at least \(7, 2\) with their padding, got \(6, 7\)",
        ),
        (
            lambda: replace(SPARSE, kernel=(0, 1))(SPARSE.x, SPARSE.values),
            "sparse_conv2d: kernel_size: expected one or two numbers of at least 1",
        ),
    ],
)
def test_errors_say_what_is_wrong(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def changed(table: torch.Tensor, place: int, value: int) -> torch.Tensor:
    return table.index_fill(0, torch.tensor([place]), value)


@pytest.mark.skipif(ops.library is None, reason="the compiled operators are missing")
@each_family
def test_tables_that_point_outside_are_refused(family: str) -> None:
    case = draw(family)
    limit = 4 * 6 if family == "sparse" else 4
    count = len(case.tables[1])
    for number, place, value, message in [
        (0, 0, 1, f"expected ptr to go up from 0 to {count}"),
        (0, 2, count + 1, "expected ptr to go up"),
        (0, 2, -1, "expected ptr to go up"),
        (0, -1, count + 1, "expected ptr to go up"),
        (1, 3, -1, f"expected idx from 0 to {limit - 1}, got -1"),
        (1, 3, limit, f"expected idx from 0 to {limit - 1}, got {limit}"),
    ]:
        with pytest.raises(RuntimeError, match=message):
            swapped(case, number, changed(case.tables[number], place, value))(case.x, case.values)
    for number, value, message in [(2, -7, "t_ptr to go up"), (3, 999, "t_idx from 0 to"), (4, -1, "t_perm from 0 to")]:
        broken = swapped(case, number, changed(case.tables[number], 1, value))
        y = broken(case.x.clone().requires_grad_(), case.values)
        with pytest.raises(RuntimeError, match=message):
            y.sum().backward()


@pytest.mark.skipif(ops.library is None, reason="the compiled operators are missing")
@pytest.mark.parametrize(
    "change",
    [
        lambda a: a | {"x": a["x"].float()},
        lambda a: a | {"x": a["x"][:, 1:].contiguous()},
        lambda a: a | {"x": a["x"].to(memory_format=torch.channels_last)},
        lambda a: a | {"x": a["x"][:, :, :0]},
        lambda a: a | {"values": a["values"][1:]},
        lambda a: a | {"values": a["values"].half(), "x": a["x"].half()},
        lambda a: a | {"values": a["values"].bfloat16()},
        lambda a: a | {"values": a["values"][:, None]},
        lambda a: a | {"bias": torch.zeros(4, dtype=torch.float64)},
        lambda a: a | {"ptr": a["ptr"][:0]},
        lambda a: a | {"ptr": a["ptr"].long()},
        lambda a: a | {"idx": a["idx"][1:]},
        lambda a: a | {"t_ptr": a["t_ptr"].repeat_interleave(2)[::2]},
        lambda a: a | {"t_idx": a["t_idx"][1:]},
        lambda a: a | {"t_perm": a["t_perm"][:, None]},
        lambda a: a | {"stride": [0, 1]},
        lambda a: a | {"padding": [-1, 1]},
        lambda a: a | {"dilation": [9, 1]},
        lambda a: a | {"dilation": [2**62, 1]},
        lambda a: a | {"padding": [2**40, 1]},
    ],
)
@each_family
def test_the_bare_operators_never_touch_memory_that_is_not_theirs(family: str, change: Callable[[dict], dict]) -> None:
    case = draw(family)
    names = ("ptr", "idx", "t_ptr", "t_idx", "t_perm")
    arguments = dict(zip(names, case.tables, strict=True)) | {"x": case.x, "values": case.values, "bias": case.bias}
    arguments |= dict(zip(("stride", "padding", "dilation"), case.window, strict=True))
    wrong = change(arguments)
    numbers = [[3, 2]] * (family == "sparse") + [wrong[name] for name in ("stride", "padding", "dilation")]
    tables = [wrong[name] for name in names]
    grad = torch.randn_like(case(case.x, case.values)).to(wrong["x"].dtype)

    with pytest.raises(
        RuntimeError, match=rf"{case.name}: arguments that do not fit; prune_adapters\.ops\.\w+ says what"
    ):
        getattr(OPERATORS, case.name)(wrong["x"], wrong["values"], wrong["bias"], *tables, *numbers)
    if wrong["bias"] is case.bias:
        with pytest.raises(RuntimeError, match=rf"{case.name}_backward: arguments that do not fit"):
            getattr(OPERATORS, f"{case.name}_backward")(
                grad, wrong["x"], wrong["values"], *tables, *numbers, [True] * 3
            )


@pytest.mark.skipif(ops.library is None, reason="the compiled operators are missing")
def test_rows_too_wide_for_offsets_of_32_bits_are_refused() -> None:
    """A padding that asks for 16 Gi elements in a strip of few outputs."""
    case = replace(draw("pair"), window=([2**28, 2**28], [2**29, 2**29], [1, 1]))

    with pytest.raises(RuntimeError, match="too wide for the convolution; expected fewer than 2\\^31 elements"):
        case(case.x, case.values)


@each_family
def test_a_gradient_of_another_shape_is_refused(family: str) -> None:
    case = draw(family)
    grad = torch.randn_like(case(case.x, case.values))[:, :, 1:].contiguous()
    operator = getattr(OPERATORS, f"{case.name}_backward")

    with pytest.raises(RuntimeError):
        operator(grad, case.x, case.values, *case.tables, *case.numbers, [True] * 3)
