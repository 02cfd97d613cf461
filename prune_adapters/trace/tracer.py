"""From a PyTorch model to its graph of units."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import nn

import netgraph as ng
from prune_adapters.errors import TraceError
from prune_adapters.masks import check_masks, unwrapped
from prune_adapters.trace import rules
from prune_adapters.trace.builder import GraphBuilder
from prune_adapters.trace.capture import capture_by_export
from prune_adapters.trace.finish import finish
from prune_adapters.trace.follow import capture_by_running, failing_line, is_data_dependent
from prune_adapters.trace.inputs import input_values
from prune_adapters.trace.registry import Options
from prune_adapters.trace.replay import replay
from prune_adapters.trace.tape import Tape

__all__ = ["to_graph"]

ExampleInputs = torch.Tensor | Sequence[object] | Mapping[str, object]
