import json
from collections.abc import Iterator

from tests.cases.mail import story


def lines() -> Iterator[bytes]:
    """Give the events of the same mail."""
    return (json.dumps(event).encode() for event in story())
