"""Unit graphs of well-known networks, built by hand: their layers and connections, nothing trained, no torch."""

import numpy as np

import netgraph as ng

__all__ = ["lenet", "random_weights", "resnet50", "vit_b"]


class Builder:
    """Layers and connections of a network, one call an operator; each call returns the layer it makes or feeds."""

    def __init__(self, inputs: int) -> None:
        self.layers = {"input": inputs}
        self.connections: list[ng.Connection | ng.Wiring] = []
        self.products: set[str] = set()

    def layer(self, units: int) -> str:
        name = f"layer{len(self.layers)}"
        self.layers[name] = units
        return name

    def weights(self, source: str, target: str, taps: int = 1) -> str:
        rows, columns = self.layers[target], self.layers[source]
        index = ng.ElementIndex(0, (rows * columns * taps, columns * taps, taps, 1))
        name = f"{target}.weight{len(self.connections)}"
        self.connections.append(ng.Connection(name, source, target, rows, columns, taps, index=index))
        return target

    def linear(self, source: str, units: int, taps: int = 1) -> str:
        return self.weights(source, self.layer(units), taps)

    def identity(self, source: str, target: str, factor: int = 0) -> str:
        self.connections.append(ng.Wiring(source, target, self.layers[source], factor=factor))
        return target

    def mix(self, source: str, target: str, groups: int, factor: int = 0) -> str:
        """Join two layers all to all within each of `groups` blocks."""
        fan_in, fan_out = self.layers[source] // groups, self.layers[target] // groups
        self.connections.append(ng.Wiring(source, target, groups, fan_in=fan_in, fan_out=fan_out, factor=factor))
        return target

    def graph(self, output: str) -> ng.NetGraph:
        """Return the graph, all weights removed; biases, norms and softmax make every unit at least constant."""
        n = sum(self.layers.values())
        words = sum(c.n_words for c in self.connections if isinstance(c, ng.Connection))
        return ng.NetGraph(
            self.layers,
            self.connections,
            np.zeros(words, dtype=np.uint64),
            np.arange(self.layers["input"]),
            np.arange(n - self.layers[output], n),
            products=frozenset(self.products),
            shift=np.arange(n) >= self.layers["input"],
        )


def lenet() -> ng.NetGraph:
    """Return LeNet-300-100: 0.27 M weights."""
    net = Builder(784)
    return net.graph(net.linear(net.linear(net.linear("input", 300), 100), 10))


def resnet50() -> ng.NetGraph:
    """Return ResNet-50 with 1000 classes: 25.5 M weights."""
    net = Builder(3)
    x = net.linear("input", 64, taps=49)
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            inner = net.linear(net.linear(x, width), width, taps=9)
            y = net.linear(inner, 4 * width)
            x = net.weights(x, y) if block == 0 else net.identity(x, y)
    return net.graph(net.linear(x, 1000))


def vit_b() -> ng.NetGraph:
    """Return ViT-B/16 with 1000 classes: 86.3 M weights. Layer norm mixes; attention is score times value."""
    net = Builder(3)
    x = net.linear("input", 768, taps=256)
    for _ in range(12):
        normed = net.mix(x, net.layer(768), 1)
        query, key, value = (net.linear(normed, 768) for _ in range(3))
        score, attended = net.layer(12), net.layer(768)
        net.products.add(attended)
        net.mix(query, score, 12)
        net.mix(key, score, 12)
        net.mix(score, attended, 12, factor=0)
        net.identity(value, attended, factor=1)
        y = net.identity(x, net.linear(attended, 768))
        hidden = net.linear(net.mix(y, net.layer(768), 1), 3072)
        x = net.identity(y, net.linear(hidden, 768))
    return net.graph(net.linear(net.mix(x, net.layer(768), 1), 1000))


def random_weights(graph: ng.NetGraph, sparsity: float, seed: int) -> dict[str, np.ndarray]:
    """Return float32 weights of every parameter, each element 0 with probability `sparsity`."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name in graph.edge_parameters:
        size = graph.parameters[name].size
        kept = rng.random(size, dtype=np.float32) >= sparsity
        weights[name] = np.where(kept, rng.random(size, dtype=np.float32) + 0.1, 0).astype(np.float32)
    return weights
