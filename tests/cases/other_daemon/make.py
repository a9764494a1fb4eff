"""The syslog of a host that has no mail server."""

from collections.abc import Iterator


def lines() -> Iterator[bytes]:
    yield b"2026-03-14T09:00:00.000+00:00 mx1 postfix/master[1]: daemon started -- version 3.7.11"
    for n in range(1200):
        time = f"2026-03-14T09:{n // 60:02d}:{n % 60:02d}.000+00:00"
        yield f"{time} mx1 sshd[7]: session {n}".encode()
