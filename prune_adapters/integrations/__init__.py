"""Methods and masks inside the training code of others; what needs Lightning or Hugging Face is imported by name."""

from prune_adapters.integrations.distributed import average_scores, check_ranks_agree

__all__ = ["average_scores", "check_ranks_agree"]
