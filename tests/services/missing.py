"""What a test does where a server that it drives is missing."""

import os
from typing import NoReturn

import pytest

__all__ = ["leave_out"]


def leave_out(reason: str) -> NoReturn:
    """Skip the test that asks, or fail it where services must be."""
    if os.environ.get("FLOODWATCH_REQUIRE_SERVICES"):
        pytest.fail(f"{reason}, and FLOODWATCH_REQUIRE_SERVICES is set", pytrace=False)
    pytest.skip(f"left out: {reason}")
