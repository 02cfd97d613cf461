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
def path_sums(
    plan: Plan,
    bits: np.ndarray,
    values: list[np.ndarray],
    power: int,
    gate: np.ndarray,
    shift: np.ndarray,
    forward: np.ndarray,
    forward_exponents: np.ndarray,
    backward: np.ndarray,
    backward_exponents: np.ndarray,
) -> int: ...
def path_shares(
    plan: Plan,
    bits: np.ndarray,
    values: list[np.ndarray],
    power: int,
    gate: np.ndarray,
    forward: np.ndarray,
    forward_exponents: np.ndarray,
    backward: np.ndarray,
    backward_exponents: np.ndarray,
    total: float,
    total_exponent: int,
    fresh: bool,
    out: list[np.ndarray],
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

class _Annealer:
    def __init__(self, cells: np.ndarray, option: int, random: int) -> None: ...
    def restore(self, cells: np.ndarray, best: int, accepted: int, at_best: bool) -> None: ...
    def run(self, steps: int, temperature: float, enough: int) -> int: ...
    def rise(self, count: int) -> float: ...
    def evaluate(self, times: int) -> int: ...
    def cells(self, out: np.ndarray) -> None: ...
    def best_cells(self, out: np.ndarray) -> None: ...
    @property
    def random(self) -> int: ...
    @property
    def energy(self) -> int: ...
    @property
    def best(self) -> int: ...
    @property
    def accepted(self) -> int: ...
    @property
    def at_best(self) -> bool: ...

class Swaps(_Annealer): ...
class TwoHops(_Annealer): ...
class Lifts(_Annealer): ...
class Cayley(_Annealer): ...

def swap_edges(cells: np.ndarray, moves: int, tries: int, random: int) -> int: ...
def count_unit_hops(
    plan: Plan, bits: np.ndarray, sources: np.ndarray, wanted: np.ndarray, undirected: bool, counts: np.ndarray
) -> None: ...
def count_each_unit_hops(
    plan: Plan,
    bits: np.ndarray,
    sources: np.ndarray,
    wanted: np.ndarray,
    undirected: bool,
    hops: np.ndarray,
    pairs: np.ndarray,
) -> None: ...
def count_hops(offsets: np.ndarray, targets: np.ndarray, sources: np.ndarray, counts: np.ndarray) -> int: ...
def write_hops(offsets: np.ndarray, targets: np.ndarray, sources: np.ndarray, lengths: np.ndarray) -> None: ...
def breadth_first(
    offsets: np.ndarray,
    targets: np.ndarray,
    sources: np.ndarray,
    most: int,
    order: np.ndarray,
    hops: np.ndarray,
    met: np.ndarray,
) -> None: ...
