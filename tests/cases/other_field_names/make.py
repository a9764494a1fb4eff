import json
from collections.abc import Iterator

from tests.cases.mail import story


def lines() -> Iterator[bytes]:
    """Give the same mail under other names, the client one level deeper."""
    for mail in story():
        named = {"ts": mail["time"], "remote": {"ip": mail["client_ip"]}, "result": mail["action"]}
        kept = {name: mail[name] for name in ("recipient", "sender") if name in mail}
        yield json.dumps(named | kept).encode()
