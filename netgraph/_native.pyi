import numpy as np

class Plan:
    def __init__(
        self,
        sizes: np.ndarray,
        products: np.ndarray,
        weighted: np.ndarray,
        wiring: np.ndarray,
        pairs: np.ndarray,
        inputs: np.ndarray,
        outputs: np.ndarray,
        cyclic: bool,
    ) -> None: ...

class Counters:
    def __init__(self, plan: Plan, bits: np.ndarray, gate: np.ndarray, live: np.ndarray, co: np.ndarray) -> None: ...
    def change(self, connection: int, elements: np.ndarray, keep: bool) -> None: ...
    def write(self, flags: np.ndarray) -> None: ...
    @property
    def consistent(self) -> int: ...

def sweep(
    plan: Plan, bits: np.ndarray, gate: np.ndarray, shift: np.ndarray, flags: np.ndarray, consistent: np.ndarray
) -> None: ...
def sweep_values(
    plan: Plan,
    bits: np.ndarray,
    values: list[np.ndarray | None],
    gate: np.ndarray,
    shift: np.ndarray,
    flags: np.ndarray,
    consistent: np.ndarray,
) -> int: ...
def restrict(plan: Plan, bits: np.ndarray, sources: np.ndarray, targets: np.ndarray, out: np.ndarray) -> None: ...
def fold_taps(bits: np.ndarray, shape: tuple[int, int, int, int], pairs: np.ndarray) -> None: ...
def sum_along(
    bits: np.ndarray,
    shape: tuple[int, int, int, int],
    values: np.ndarray,
    power: int,
    sources: np.ndarray,
    targets: np.ndarray,
) -> None: ...
def sum_against(
    bits: np.ndarray,
    shape: tuple[int, int, int, int],
    values: np.ndarray,
    power: int,
    targets: np.ndarray,
    sources: np.ndarray,
) -> None: ...
def weight_shares(
    bits: np.ndarray,
    shape: tuple[int, int, int, int],
    values: np.ndarray,
    power: int,
    sources: np.ndarray,
    targets: np.ndarray,
    out: np.ndarray,
) -> None: ...
def betweenness(
    starts: np.ndarray,
    edge_sources: np.ndarray,
    hops: np.ndarray,
    sources: np.ndarray,
    goals: np.ndarray,
    found: np.ndarray,
) -> None: ...
def stream(array: np.ndarray) -> int: ...
def isa() -> str: ...
def use_isa(name: str) -> None: ...
