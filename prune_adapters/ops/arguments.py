"""What the operators of sparse layers are given: tensors that have to fit each other, checked in words, and their call.

The operators themselves check the same without words, so that nothing is read outside.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch

from prune_adapters.ops.autograd import Call, autocasts
from prune_adapters.ops.define import narrow_on_cpu

__all__ = [
    "ConvArguments",
    "call_wide",
    "check_device",
    "check_dtype",
    "check_floats",
    "check_panels",
    "check_size",
    "check_table",
    "check_tables",
    "number_pair",
]

Pair: TypeAlias = int | Sequence[int]
TABLES = ("ptr", "idx", "t_ptr", "t_idx", "t_perm")


def call_wide(
    operator: Call,
    floats: tuple[torch.Tensor, torch.Tensor, torch.Tensor | None],
    rest: Sequence[object],
    *,
    bfloat16: bool,
) -> torch.Tensor:
    """Return the result of a layer for contiguous floats, in the dtype of x.

    What is of 16 bits on a CPU goes there and back in float32, but for bfloat16 where the operator takes it.

    Parameters
    ----------
    operator : callable
    floats : (Tensor, Tensor, Tensor or None)
        x, values and bias.
    rest : sequence
        Contiguous tables, and numbers.
    bfloat16 : bool
        Whether bfloat16 goes there and back, too.

    Returns
    -------
    Tensor
    """
    narrow = narrow_on_cpu(floats[0], bfloat16=bfloat16)
    result = operator(*[None if t is None else (t.float() if narrow else t).contiguous() for t in floats], *rest)
    assert isinstance(result, torch.Tensor)
    return result.to(floats[0].dtype) if narrow else result


def check_dtype(where: str, name: str, tensor: torch.Tensor, x: torch.Tensor, *, like: str = " as x is") -> None:
    """Raise unless a tensor has the dtype of x, or autocast is going to give it.

    Parameters
    ----------
    where, name : str
        The function and the argument, for the error.
    tensor, x : Tensor
    like : str
        How the error says that x asks for it.

    Raises
    ------
    ValueError
    """
    if tensor.dtype != x.dtype and not autocasts(x.device):
        raise ValueError(f"{where}: expected {name} of dtype {x.dtype}{like}, got {tensor.dtype}")


def check_device(
    where: str, name: str, tensor: torch.Tensor, x: torch.Tensor, *, like: str = " where x is", remedy: str = ""
) -> None:
    """Raise unless a tensor is on the device of x.

    Parameters
    ----------
    where, name : str
        The function and the argument, for the error.
    tensor, x : Tensor
    like, remedy : str
        How the error says that x asks for it, and what to do.

    Raises
    ------
    ValueError
    """
    if tensor.device != x.device:
        raise ValueError(f"{where}: expected {name} on {x.device}{like}, got {tensor.device}{remedy}")


def check_table(where: str, table: torch.Tensor, dtype: torch.dtype, dim: int) -> None:
    """Raise ValueError unless a table has this dtype and this number of dimensions."""
    if table.dtype != dtype or table.dim() != dim:
        shape = tuple(table.shape)
        raise ValueError(f"{where}: expected {dim} dimensions of {dtype}, got shape {shape} of {table.dtype}")


def check_size(where: str, tensor: torch.Tensor, shape: Sequence[int]) -> None:
    """Raise ValueError unless a tensor has this shape."""
    if tensor.shape != tuple(shape):
        raise ValueError(f"{where}: expected shape {tuple(shape)}, got {tuple(tensor.shape)}")


def check_panels(where: str, ptr: torch.Tensor, idx: torch.Tensor, columns: int, panel: int) -> None:
    """Raise ValueError unless tables are those of so many columns, cut into panels."""
    check_table(f"{where}: ptr", ptr, torch.int32, 2)
    check_table(f"{where}: idx", idx, torch.int16, 1)
    if not 1 <= panel <= 32768:
        raise ValueError(f"{where}: expected a panel of 1 to 32768 columns, got {panel}")
    if ptr.shape[0] != -(-columns // panel) or ptr.shape[1] < 1:
        wanted = f"({-(-columns // panel)}, rows + 1)"
        raise ValueError(f"{where}: expected ptr of shape {wanted} for {columns} columns, got {tuple(ptr.shape)}")


def check_floats(
    where: str, x: torch.Tensor, features: int, others: Mapping[str, tuple[torch.Tensor | None, Sequence[int]]]
) -> None:
    """Raise ValueError unless x has so many features, and the others their shapes and what else x has."""
    if x.dim() == 0 or x.shape[-1] != features:
        raise ValueError(f"{where}: expected x of shape (..., {features}), got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise ValueError(f"{where}: expected x of floats, got {x.dtype}")
    for name, (tensor, shape) in others.items():
        if tensor is not None:
            check_size(f"{where}: {name}", tensor, shape)
            check_dtype(where, name, tensor, x)
            check_device(where, name, tensor, x)


def check_tables(where: str, x: torch.Tensor, tables: Mapping[str, torch.Tensor]) -> None:
    """Raise ValueError unless the tables are on the device of x."""
    for name, table in tables.items():
        check_device(where, name, table, x, remedy="; move the plan with plan.to(...)")


def number_pair(what: str, number: Pair, *, least: int) -> list[int]:
    """Return the numbers for both dimensions; raise ValueError for others than one or two of at least this."""
    pair = [number, number] if isinstance(number, int) else list(number)
    if len(pair) != 2 or min(pair) < least:
        raise ValueError(f"{what}: expected one or two numbers of at least {least}, got {number}")
    return pair


class ConvArguments:
    """The tensors of a convolution, which have to fit each other.

    Parameters
    ----------
    name : str
        The operator, for errors.
    x, values : Tensor
    bias : Tensor or None
    tables : sequence of Tensor
        The five of a plan.
    """

    def __init__(
        self,
        name: str,
        x: torch.Tensor,
        values: torch.Tensor,
        bias: torch.Tensor | None,
        tables: Sequence[torch.Tensor],
    ) -> None:
        self.name, self.x, self.values, self.bias, self.tables = name, x, values, bias, tables

    def check_values(self, shape: str, dim: int) -> None:
        """Raise ValueError unless values have so many dimensions, and dtypes, devices and tables fit."""
        x, values, count = self.x, self.values, self.tables[1].shape[0] if self.tables[1].dim() == 1 else -1
        if not x.is_floating_point():
            raise ValueError(f"{self.name}: expected x of a floating dtype, got {x.dtype}")
        if x.dim() != 4:
            raise ValueError(f"{self.name}: expected x of shape (batch, channels, height, width), got {tuple(x.shape)}")
        if values.dim() != dim:
            raise ValueError(f"{self.name}: expected values of shape {shape}, got {tuple(values.shape)}")
        self._check_tables(count)
        if values.shape[0] != count:
            raise ValueError(f"{self.name}: expected values of length {count}, as idx, got {values.shape[0]}")
        if 0 in values.shape[1:]:
            raise ValueError(f"{self.name}: expected sizes of at least 1, got values of shape {tuple(values.shape)}")
        for what, tensor in (("values", values), ("bias", self.bias)):
            if tensor is not None:
                check_device(self.name, what, tensor, x, like=", as x")
                check_dtype(self.name, what, tensor, x, like=", as x")

    def _check_tables(self, count: int) -> None:
        for what, table in zip(TABLES, self.tables, strict=True):
            if table.dtype != torch.int32:
                raise ValueError(f"{self.name}: expected {what} of dtype torch.int32, got {table.dtype}")
            check_device(self.name, what, table, self.x, like=", as x")
            is_ptr = what.endswith("ptr")
            if table.dim() != 1 or table.shape[0] != (max(1, table.shape[0]) if is_ptr or count < 0 else count):
                wanted = "(channels + 1,)" if is_ptr else f"({count},), as idx" if count >= 0 else "(count,)"
                raise ValueError(f"{self.name}: expected {what} of shape {wanted}, got {tuple(table.shape)}")

    def check_channels(self, out_block: int, in_block: int) -> None:
        """Raise ValueError unless x and bias have the channels of the tables."""
        inputs, outputs = (self.tables[2].shape[0] - 1) * in_block, (self.tables[0].shape[0] - 1) * out_block
        if self.x.shape[1] != inputs:
            raise ValueError(f"{self.name}: expected x with {inputs} channels, as t_ptr has it, got {self.x.shape[1]}")
        if self.bias is not None and self.bias.shape != (outputs,):
            raise ValueError(f"{self.name}: expected bias of shape ({outputs},), got {tuple(self.bias.shape)}")

    def run(self, operator: Call, kernel: Sequence[int], numbers: Sequence[Pair]) -> torch.Tensor:
        """Return the convolution; raise ValueError for numbers out of range and images that are too small."""
        named = ("kernel_size", "stride", "padding", "dilation")[-len(numbers) :]
        least = {"padding": 0}
        pairs = [
            number_pair(f"{self.name}: {what}", number, least=least.get(what, 1))
            for what, number in zip(named, numbers, strict=True)
        ]
        self._check_reach(kernel, *pairs[-2:])
        tables = [table.contiguous() for table in self.tables]
        return call_wide(operator, (self.x, self.values, self.bias), [*tables, *pairs], bfloat16=False)

    def _check_reach(self, kernel: Sequence[int], padding: Sequence[int], dilation: Sequence[int]) -> None:
        spans, images = [(taps - 1) * step + 1 for taps, step in zip(kernel, dilation, strict=True)], self.x.shape[2:]
        sizes = [size + 2 * pad for size, pad in zip(images, padding, strict=True)]
        if min(images) < 1 or spans[0] > sizes[0] or spans[1] > sizes[1]:
            raise ValueError(
                f"{self.name}: expected images of at least {tuple(spans)} with their padding, got {tuple(sizes)}"
            )
