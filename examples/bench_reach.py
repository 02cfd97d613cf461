"""Nets of the reach benchmark."""

import numpy as np

import netgraph as ng


class Builder:
    """Layers and connections of a network, one call an operator."""

    def __init__(self, inputs: int) -> None:
        self.layers = {"input": inputs}
        self.connections: list[ng.Connection | ng.Wiring] = []
        self.products: set[str] = set()

    def layer(self, units: int) -> str:
        """Add a layer without edges."""
        name = f"layer{len(self.layers)}"
        self.layers[name] = units
        return name

    def weights(self, source: str, target: str, taps: int = 1) -> str:
        """Join two layers by a dense parameter."""
        rows, columns = self.layers[target], self.layers[source]
        index = ng.ElementIndex(0, (rows * columns * taps, columns * taps, taps, 1))
        name = f"weight{len(self.connections)}"
        self.connections.append(ng.Connection(name, source, target, rows, columns, taps, index=index))
        return target

    def linear(self, source: str, units: int, taps: int = 1) -> str:
        """Add a layer fed by a dense parameter."""
        return self.weights(source, self.layer(units), taps)

    def identity(self, source: str, target: str, factor: int = 0) -> str:
        """Join two layers unit by unit."""
        self.connections.append(ng.Wiring(source, target, self.layers[source], factor=factor))
        return target

    def mix(self, source: str, target: str, groups: int, factor: int = 0) -> str:
        """Join two layers all to all within each of `groups` blocks."""
        fan_in, fan_out = self.layers[source] // groups, self.layers[target] // groups
        self.connections.append(ng.Wiring(source, target, groups, fan_in=fan_in, fan_out=fan_out, factor=factor))
        return target

    def graph(self, output: str) -> ng.NetGraph:
        """Return the graph, everything removed; norms, biases and softmax make every unit at least constant."""
        n = sum(self.layers.values())
        words = sum(c.n_words for c in self.connections if isinstance(c, ng.Connection))
        outputs = np.arange(n - self.layers[output], n)
        return ng.NetGraph(
            self.layers,
            self.connections,
            np.zeros(words, dtype=np.uint64),
            np.arange(self.layers["input"]),
            outputs,
            products=frozenset(self.products),
            shift=np.arange(n) >= self.layers["input"],
        )


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
    """Return ViT-B/16 with 1000 classes: 86.3 M weights; attention scores times values, layer norm as a mix."""
    net = Builder(3)
    x = net.linear("input", 768, taps=256)
    for _ in range(12):
        normed = net.mix(x, net.layer(768), 1)
        query, key, value = (net.linear(normed, 768) for _ in range(3))
        score, attended = net.layer(12), net.layer(768)
        net.products |= {attended}
        net.mix(query, score, 12)
        net.mix(key, score, 12)
        net.mix(score, attended, 12, factor=0)
        net.identity(value, attended, factor=1)
        y = net.identity(x, net.linear(attended, 768))
        normed = net.mix(y, net.layer(768), 1)
        x = net.identity(y, net.linear(net.linear(normed, 3072), 768))
    return net.graph(net.linear(net.mix(x, net.layer(768), 1), 1000))
