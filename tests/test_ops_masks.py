"""The operators on masks: compiled against plain torch, and as torch sees them."""

import pytest
import torch

from operator_kernels import ISAS, set_to_isa
from prune_adapters import ops
from prune_adapters.ops import reference

OPERATORS = torch.ops.prune_adapters
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.complex64]
DTYPES += [torch.complex128, torch.int8, torch.bool]


kernels = pytest.fixture(params=ISAS)(set_to_isa)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_mask(*size: int, density: float = 0.5, seed: int = 0) -> torch.Tensor:
    return torch.rand(size, generator=generator(seed)) < density


def random_bits(dtype: torch.dtype, *size: int, seed: int = 0) -> torch.Tensor:
    """Return elements whose bits are all drawn: NaN, infinities and -0.0 among them."""
    n_bytes = torch.Size(size).numel() * dtype.itemsize
    octets = torch.randint(256, (n_bytes,), dtype=torch.uint8, generator=generator(seed))
    return (octets & 1 if dtype == torch.bool else octets).view(dtype).view(size)


def octets(tensor: torch.Tensor) -> torch.Tensor:
    """Return the bytes of each element, so that NaN equals NaN and -0.0 does not equal 0.0."""
    return tensor.contiguous().view(-1, 1).view(torch.uint8) if tensor.numel() else torch.zeros(0, 1)


def assert_masked(after: torch.Tensor, before: torch.Tensor, mask: torch.Tensor) -> None:
    """Hold that removed elements are 0 to the bit, and the others what they were."""
    torch.testing.assert_close(octets(after), octets(before) * mask.reshape(-1, 1), rtol=0, atol=0)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_elements_of_any_dtype_and_value(dtype: torch.dtype) -> None:
    for count in [*range(70), 127, 128, 200]:
        tensor, mask = random_bits(dtype, count, seed=count), random_mask(count, seed=count)
        masked, by_reference = tensor.clone(), tensor.clone()
        ops.apply_masks_([masked], [ops.pack_mask(mask)])
        reference.apply_masks_([by_reference], [reference.pack_mask(mask)])

        assert_masked(masked, tensor, mask)
        assert_masked(by_reference, tensor, mask)


@pytest.mark.usefixtures("kernels")
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
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex128], ids=str)
def test_any_memory_layout(layout, dtype: torch.dtype) -> None:
    whole = random_bits(dtype, 5, 6, 7, 8)
    tensor = layout(whole)
    before, mask = tensor.clone(), random_mask(*tensor.shape)
    outside = torch.ones_like(whole, dtype=torch.bool)
    before_whole = whole.clone()
    ops.apply_masks_([tensor], [ops.pack_mask(mask)])

    assert_masked(tensor, before, mask)
    if tensor.data_ptr() == whole.data_ptr() or tensor._is_view():
        layout(outside).copy_(mask)
        assert_masked(whole, before_whole, outside)


@pytest.mark.usefixtures("kernels")
def test_many_tensors_in_one_call_at_any_number_of_threads() -> None:
    sizes = [100_000, 0, 1, 40_000, 65_536, 32_768, 32_769, 7]
    tensors = [random_bits(torch.float32, size, seed=size) for size in sizes]
    masks = [random_mask(size, density=0.1, seed=size) for size in sizes]
    bits = [ops.pack_mask(mask) for mask in masks]
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            masked = [tensor.clone() for tensor in tensors]
            ops.apply_masks_(masked, bits)
            for one, tensor, mask in zip(masked, tensors, masks, strict=True):
                assert_masked(one, tensor, mask)
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("size", [(), (0,), (1,), (3, 0), (7,), (8,), (9,), (5, 13), (3, 3, 3, 65)])
def test_packed_and_back(size: tuple[int, ...]) -> None:
    mask = random_mask(*size)
    bits = ops.pack_mask(mask)

    assert bits.shape == ((mask.numel() + 7) // 8,)
    torch.testing.assert_close(bits, reference.pack_mask(mask))
    torch.testing.assert_close(ops.unpack_mask(bits, size), mask)
    torch.testing.assert_close(reference.unpack_mask(bits, size), mask)


@pytest.mark.usefixtures("kernels")
def test_bits_are_in_row_major_order_whatever_the_layout() -> None:
    mask = random_mask(4, 3, 5, 5)

    torch.testing.assert_close(ops.pack_mask(mask.to(memory_format=torch.channels_last)), ops.pack_mask(mask))
    torch.testing.assert_close(ops.pack_mask(mask.t() if mask.dim() == 2 else mask.mT), ops.pack_mask(mask.mT.clone()))


def samples(name: str) -> tuple[object, ...]:
    mask = random_mask(5, 7)
    tensors = [random_bits(torch.int32, 5, 7).float(), torch.ones(5, 7, dtype=torch.bfloat16).t().contiguous().t()]
    bits = reference.pack_mask(mask)
    return {"apply_masks_": (tensors, [bits, bits]), "pack_mask": (mask,), "unpack_mask": (bits, [5, 7])}[name]


@pytest.mark.parametrize("name", ["apply_masks_", "pack_mask", "unpack_mask"])
def test_opcheck(name: str) -> None:
    found = torch.library.opcheck(getattr(OPERATORS, name).default, samples(name))

    assert set(found.values()) == {"SUCCESS"}


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_in_one_graph(dynamic: bool) -> None:
    def masked(weight: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        bits = ops.pack_mask(mask)
        ops.apply_masks_([weight], [bits])
        return weight + 1, ops.unpack_mask(bits, weight.shape)

    torch._dynamo.reset()
    compiled = torch.compile(masked, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for rows in (3, 8):
        weight, mask = torch.randn(rows, 5), random_mask(rows, 5)
        expected = torch.where(mask, weight, 0)
        plus_one, same = compiled(weight, mask)

        torch.testing.assert_close(weight, expected)
        torch.testing.assert_close(plus_one, expected + 1)
        torch.testing.assert_close(same, mask)


class Masked(torch.nn.Module):
    def forward(self, weight: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        bits = ops.pack_mask(mask)
        ops.apply_masks_([weight], [bits])
        return weight + 1, ops.unpack_mask(bits, weight.shape)


def test_compiles_once_for_all_sizes() -> None:
    graphs = []

    def count(graph: torch.fx.GraphModule, _: object) -> object:
        graphs.append(graph)
        return graph

    torch._dynamo.reset()
    compiled = torch.compile(Masked(), backend=count, fullgraph=True, dynamic=True)
    for rows in (4, 8, 11):
        compiled(torch.randn(rows, 5, 7), random_mask(rows, 5, 7))
    assert len(graphs) == 1


def test_exports() -> None:
    dims = {0: torch.export.Dim("rows"), 1: torch.export.Dim("columns")}
    program = torch.export.export(
        Masked(), (torch.randn(4, 5, 7), random_mask(4, 5, 7)), dynamic_shapes=(dims, dims)
    ).module()
    weight, mask = torch.randn(9, 6, 7), random_mask(9, 6, 7)
    expected = torch.where(mask, weight, 0)
    plus_one, same = program(weight, mask)

    torch.testing.assert_close(weight, expected)
    torch.testing.assert_close(plus_one, expected + 1)
    torch.testing.assert_close(same, mask)


@pytest.mark.parametrize("size", [(5, 7), (4, 2), (1,)])
def test_vmap_packs_each_mask_into_bytes_of_its_own(size: tuple[int, ...]) -> None:
    masks = random_mask(3, *size)
    bits = torch.vmap(ops.pack_mask)(masks)

    torch.testing.assert_close(bits, torch.stack([ops.pack_mask(mask) for mask in masks]))
    torch.testing.assert_close(torch.vmap(ops.pack_mask, in_dims=-1)(masks.movedim(0, -1)), bits)
    torch.testing.assert_close(torch.vmap(lambda own: ops.unpack_mask(own, size))(bits), masks)


def test_vmap_applies_one_mask_to_all_or_to_each_its_own() -> None:
    weights, masks = torch.randn(3, 5, 7), random_mask(3, 5, 7)
    bits = torch.vmap(ops.pack_mask)(masks)
    each, all_ = weights.clone(), weights.clone()
    torch.vmap(lambda weight, own: ops.apply_masks_([weight], [own]) or weight)(each, bits)
    torch.vmap(lambda weight: ops.apply_masks_([weight], [bits[0]]) or weight)(all_)

    torch.testing.assert_close(each, torch.where(masks, weights, 0))
    torch.testing.assert_close(all_, torch.where(masks[0], weights, 0))
    with pytest.raises(RuntimeError, match="many masks for one tensor; vmap over the tensor, too"):
        torch.vmap(lambda own: ops.apply_masks_([weights[0]], [own]))(bits)


def test_meta_tensors_have_shapes() -> None:
    mask = torch.ones(5, 7, dtype=torch.bool, device="meta")
    bits = ops.pack_mask(mask)
    ops.apply_masks_([torch.ones(5, 7, device="meta")], [bits])

    assert (bits.shape, bits.dtype, bits.device.type) == ((5,), torch.uint8, "meta")
    assert ops.unpack_mask(bits, (5, 7)).shape == (5, 7)


def test_a_leaf_is_masked_under_no_grad_only() -> None:
    weight = torch.nn.Parameter(torch.ones(8))
    bits = ops.pack_mask(random_mask(8))

    with pytest.raises(RuntimeError, match=r"apply_masks_: has no gradient; call it under torch.no_grad\(\)"):
        ops.apply_masks_([weight], [bits])
    assert weight.all()
    with torch.no_grad():
        ops.apply_masks_([weight], [bits])
    assert not weight.all()


def test_autograd_sees_the_change() -> None:
    """What was saved for the backward pass before masking must not be used after it."""
    weight = torch.nn.Parameter(torch.ones(8))
    loss = weight.square().sum()
    with torch.no_grad():
        ops.apply_masks_([weight], [ops.pack_mask(random_mask(8))])

    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


BITS = torch.zeros(2, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.apply_masks_([torch.ones(9)], []), "expected bits for each of 1 tensors, got 0"),
        (
            lambda: ops.apply_masks_([torch.ones(9)] * 2, [BITS, BITS[:1]]),
            r"apply_masks_: tensor 1: expected bits of shape \(2,\) for \(9,\), got \(1,\)",
        ),
        (
            lambda: ops.apply_masks_([torch.ones(9)], [BITS.bool()]),
            "expected bits of dtype torch.uint8, got torch.bool",
        ),
        (lambda: ops.apply_masks_([torch.ones(9)], [BITS.to("meta")]), "tensor 0: expected bits on cpu, got meta"),
        (
            lambda: ops.pack_mask(torch.ones(2)),
            "pack_mask: expected dtype torch.bool, got torch.float32; use mask != 0",
        ),
        (lambda: ops.unpack_mask(BITS, (3, 9)), r"unpack_mask: expected bits of shape \(4,\) for \(3, 9\), got \(2,\)"),
    ],
)
def test_errors_say_what_is_wrong(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.skipif(ops.library is None, reason="the compiled operators are missing")
@pytest.mark.parametrize(
    "call",
    [
        lambda: OPERATORS.apply_masks_([torch.ones(9)], []),
        lambda: OPERATORS.apply_masks_([torch.ones(9)], [BITS[:1]]),
        lambda: OPERATORS.apply_masks_([torch.ones(9)], [BITS.int()]),
        lambda: OPERATORS.apply_masks_([torch.ones(9)], [BITS.repeat(2)[::2]]),
        lambda: OPERATORS.apply_masks_([torch.ones(3, 1).expand(3, 3)], [BITS]),
        lambda: OPERATORS.pack_mask(torch.ones(3)),
        lambda: OPERATORS.pack_mask(random_mask(3, 4).t()),
        lambda: OPERATORS.unpack_mask(BITS, [17]),
        lambda: OPERATORS.unpack_mask(BITS.repeat(2)[::2], [16]),
    ],
)
def test_the_bare_operators_never_touch_memory_that_is_not_theirs(call) -> None:
    with pytest.raises(RuntimeError, match=r"arguments that do not fit; prune_adapters\.ops\.\w+ says what"):
        call()
