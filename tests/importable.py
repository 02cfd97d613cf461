"""The modules of both packages that can be imported here: some need a library that not everybody has."""

import importlib.util
import pkgutil

import netgraph
import prune_adapters

NEEDS = {
    "prune_adapters.ops.triton_blocks": "triton",
    "prune_adapters.ops.triton_kernels": "triton",
    "prune_adapters.ops.triton_tiles": "triton",
    "prune_adapters.graph_pruning.search.agents": "stable_baselines3",
    "prune_adapters.graph_pruning.search.environment": "gymnasium",
    "prune_adapters.integrations.lightning": "lightning",
    "prune_adapters.integrations.hugging_face": "transformers",
}
MODULES = [
    module.name
    for package in (netgraph, prune_adapters)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if module.name != "netgraph._native"
    and (module.name not in NEEDS or importlib.util.find_spec(NEEDS[module.name]) is not None)
]
