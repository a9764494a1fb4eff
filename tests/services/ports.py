"""Ports on loopback for servers that must find them free again after a restart."""

import random
import socket
from pathlib import Path
from typing import Final

__all__ = ["free_ports"]

_EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST: Final = 10_000


def free_ports(count: int) -> list[int]:
    """Give ports that nothing listens on.

    They lie below those that the kernel hands to outgoing connections, where it says which these
    are: while a server is down, any client on the machine could be given its port otherwise, even
    the one that tries to reach it, which then talks to itself.
    """
    below = int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else 0
    candidates = range(_LOWEST, below)
    wanted = iter(random.sample(candidates, min(len(candidates), 500)))
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            candidate = socket.socket()
            try:
                candidate.bind(("127.0.0.1", next(wanted, 0)))
            except OSError:
                candidate.close()
            else:
                held.append(candidate)
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()
