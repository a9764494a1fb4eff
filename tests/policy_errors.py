"""What a policy file is refused with."""

import pytest

from detector.errors import FloodwatchError, PolicyError
from pipelines.settings.config_file import parse_policy

__all__ = ["errors"]


def errors(text: str, name: str = "policy.toml") -> list[str]:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, name)
    assert isinstance(caught.value, FloodwatchError)
    assert len(caught.value.problems) == str(caught.value).count("\n") + 1
    return str(caught.value).split("\n")
