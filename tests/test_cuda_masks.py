"""The operators on masks on a GPU against the references on the same inputs, and as torch sees them."""

import pytest
import torch
from torch import nn

import prune_adapters as pa
from cuda_device import DEVICE, OPERATORS, assert_opcheck, drawn, generator, needs_gpu, random_mask
from prune_adapters import ops
from prune_adapters.ops import reference

pytestmark = pytest.mark.cuda

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.complex64]
DTYPES += [torch.complex128, torch.int8, torch.bool]


def random_bits(dtype: torch.dtype, *size: int, seed: int = 0) -> torch.Tensor:
    """Return elements whose bits are all drawn: NaN, infinities and -0.0 among them."""
    n_bytes = torch.Size(size).numel() * dtype.itemsize
    drawn = torch.randint(256, (n_bytes,), dtype=torch.uint8, generator=generator(seed))
    return (drawn & 1 if dtype == torch.bool else drawn).view(dtype).view(size).to(DEVICE)


def octets(tensor: torch.Tensor) -> torch.Tensor:
    """Return the bytes of each element, so that NaN equals NaN and -0.0 does not equal 0.0."""
    return tensor.contiguous().view(-1, 1).view(torch.uint8).cpu() if tensor.numel() else torch.zeros(0, 1)


def assert_masked(after: torch.Tensor, before: torch.Tensor, mask: torch.Tensor) -> None:
    torch.testing.assert_close(octets(after), octets(before) * mask.reshape(-1, 1).cpu(), rtol=0, atol=0)


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
    assert_opcheck(name, mask_samples(name))


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
