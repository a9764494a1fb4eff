"""`python -m pipelines.cli` is `floodwatch`."""

from pipelines.cli import main

__all__: list[str] = []

main()
