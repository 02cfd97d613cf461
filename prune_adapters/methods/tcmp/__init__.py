"""Topologically consistent magnitude pruning: soft masks that know which weights join the input to the output."""

from prune_adapters.methods.tcmp.method import TCMP

__all__ = ["TCMP"]
