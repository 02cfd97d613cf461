"""What test_distributed.py runs in several processes: ``python tests/ranks.py FOLDER N`` starts N of them.

Starting a process is slow, so each makes all the checks for its number of ranks. They are forked where that is safe,
as they then share what was imported here. The checks are in rank_sharded.py, rank_tensor_parallel.py, rank_scores.py.
"""

import sys
import warnings
from datetime import timedelta

import torch.distributed as dist
from torch.multiprocessing import start_processes

from rank_networks import FOLDER, RANKS
from rank_scores import agreement, averages, channel_decay, example, methods, norm_decay, scores
from rank_sharded import (
    ddp,
    fsdp,
    fsdp_built_without_memory,
    fsdp_of_a_convolution,
    fsdp_of_a_masked_model,
    fsdp_resumed,
    fsdp_state_dicts,
    fsdp_while_parameters_are_gathered,
    fsdp_with_replicas,
    parts,
)
from rank_tensor_parallel import (
    all_of_a_layer,
    fsdp_and_tensor_parallel,
    tensor_parallel,
    tensor_parallel_masked_before_backward,
    tensor_parallel_uneven,
    what_spread_weights_cannot_do,
)

ALWAYS = [parts, ddp, fsdp]
CHECKS = {
    2: [
        *ALWAYS,
        fsdp_of_a_convolution,
        fsdp_of_a_masked_model,
        fsdp_while_parameters_are_gathered,
        fsdp_state_dicts,
        fsdp_built_without_memory,
        fsdp_resumed,
        tensor_parallel,
        tensor_parallel_masked_before_backward,
        all_of_a_layer,
        scores,
        what_spread_weights_cannot_do,
        agreement,
        averages,
        methods,
        channel_decay,
        norm_decay,
        example,
    ],
    3: [*ALWAYS, fsdp_of_a_masked_model, fsdp_state_dicts, tensor_parallel_uneven],
    4: [parts, fsdp_and_tensor_parallel, fsdp_with_replicas],
}


def check(rank: int) -> None:
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    dist.init_process_group(
        "gloo", f"file://{FOLDER / 'meeting'}", rank=rank, world_size=RANKS, timeout=timedelta(seconds=60)
    )
    for one in CHECKS[RANKS]:
        one(rank)
        dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    start_processes(check, nprocs=RANKS, start_method="fork" if sys.platform == "linux" else "spawn")
