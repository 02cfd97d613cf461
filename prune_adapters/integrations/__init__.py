"""Masks inside the training code of others."""

from prune_adapters.integrations.distributed import average_scores, check_ranks_agree

__all__ = ["average_scores", "check_ranks_agree"]
