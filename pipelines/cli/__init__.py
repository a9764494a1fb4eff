"""The command line `floodwatch`: data on standard output, messages on standard error."""

__all__ = ["main"]


def main() -> None:
    """Run the command line and leave with its exit code: 0 done, 1 failed, 2 usage or settings."""
    try:
        from pipelines.cli.app import run

        run()
    except KeyboardInterrupt:  # before a command began
        raise SystemExit(130) from None
