from tests.cli.command_line import floodwatch
from tests.follow.followers import follow

__all__ = ["floodwatch", "follow"]
