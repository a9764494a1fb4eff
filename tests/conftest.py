"""What all tests share: hypothesis profiles, and what to do where a server is missing."""

import os
import shutil

import pytest
from hypothesis import HealthCheck, settings

from tests.services.fixtures import (
    kafka,
    kafka_broker,
    kafka_cluster,
    kafka_jars,
    kafka_sasl,
    shared_broker,
)
from tests.services.missing import leave_out

__all__ = ["kafka", "kafka_broker", "kafka_cluster", "kafka_jars", "kafka_sasl", "shared_broker"]

# Machines differ and are busy: no law depends on how long an example takes.
settings.register_profile(
    "default", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=5_000)
settings.load_profile("default")

SYSTEM_PATHS = ("/usr/sbin", "/sbin", "/usr/local/sbin")


def find_program(name: str) -> str | None:
    """Where a program is, also in the folders of servers, which are on the PATH of root alone."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *SYSTEM_PATHS)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `needs(program)` where it cannot run; fail it where services must be."""
    for mark in item.iter_markers("needs"):
        program = mark.args[0]
        if find_program(program) is None:
            reason = f"{program} is not installed"
        elif mark.kwargs.get("root", False) and os.geteuid() != 0:
            reason = f"{program} must be started by root"
        else:
            continue
        leave_out(reason)
