from tests.cli.command_line import floodwatch

__all__ = ["floodwatch"]
