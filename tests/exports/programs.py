"""The programs that use an export, started on loopback; none of them is a stand-in."""

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Final

from pipelines.clock import elapsed_s
from tests.services.missing import leave_out

__all__ = ["ZONE", "ask", "free_port", "program", "rbldnsd_serving", "waited"]

ZONE: Final = "list.example"
_CHECK_EVERY: Final = "1s"
_LOOK_S: Final = 0.05


def program(name: str) -> str:
    """Give the path of a program of the Debian packages that `make test` installs."""
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin")
    if found is None:
        leave_out(f"{name} is not installed")
    return found


def waited(condition: Callable[[], bool], most_s: float) -> float:
    """Wait until something is so; give the seconds that took."""
    begun_s = elapsed_s()
    while not condition():
        assert elapsed_s() - begun_s < most_s, f"not so within {most_s} s"
        Event().wait(_LOOK_S)
    return elapsed_s() - begun_s


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def rbldnsd_serving(folder: Path) -> Iterator[int]:
    """Serve a folder's `ip4.rbl` and `ip6.rbl` as list.example; give the port."""
    port = free_port()
    command = [
        program("rbldnsd"), "-n", "-b", f"127.0.0.1/{port}", "-w", str(folder), "-c", _CHECK_EVERY,
        "-u", "rbldns", "-q", f"{ZONE}:ip4trie:ip4.rbl", f"{ZONE}:ip6trie:ip6.rbl",
    ]  # fmt: skip
    for above in folder.parents:
        if above.owner() == "root" or above.name.startswith("pytest"):
            with contextlib.suppress(PermissionError):
                above.chmod(above.stat().st_mode | 0o011)  # it runs as a user of its own
    folder.chmod(0o755)
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        waited(lambda: bool(ask(port, "127.0.0.2")), 10)
        yield port
    finally:
        server.terminate()
        server.wait()


def ask(port: int, address: str, kind: str = "A") -> list[str]:
    """Ask for an address as a mail server does; give the answers."""
    if ":" in address:
        digits = "".join(part.zfill(4) for part in _groups(address))
        name = ".".join(reversed(digits))
    else:
        name = ".".join(reversed(address.split(".")))
    command = [
        program("dig"), "@127.0.0.1", "-p", str(port), "+short", "+tries=1", "+time=1",
        f"{name}.{ZONE}", kind,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [line for line in done.stdout.splitlines() if not line.startswith(";")]


def _groups(address: str) -> list[str]:
    left, _, right = address.partition("::")
    first, last = left.split(":") if left else [], right.split(":") if right else []
    return [*first, *["0"] * (8 - len(first) - len(last)), *last]
