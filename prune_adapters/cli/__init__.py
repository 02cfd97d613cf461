"""The command `netgraph`: every command is a file here, and calls what the library has.

torch is imported inside the commands only, so that help and completion are quick.
"""

from prune_adapters.cli.app import app, main

__all__ = ["app", "main"]
