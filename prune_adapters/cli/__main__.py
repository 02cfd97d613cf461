"""`python -m prune_adapters.cli` is the command `netgraph`."""

from prune_adapters.cli.app import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
