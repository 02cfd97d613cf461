"""The sparse convolutions as torch sees them: compiled, exported, under autocast, vmap and torch.func."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

import conv_oracle as oracle
from conv_cases import OPERATORS, Case, draw, each_family, leaves


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
