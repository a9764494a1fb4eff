"""What every section of the settings has in common."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Strict, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

__all__ = [
    "CONTRADICTION",
    "SECRET",
    "FilePath",
    "Flag",
    "Number",
    "OptionalPath",
    "Section",
    "Whole",
]

CONTRADICTION: Final = "contradiction"
"""The type of the error that carries what `Section.contradictions` found."""
SECRET: Final[JsonDict] = {"secret": True}
"""Marks a setting that names a file with a secret in it."""

Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Flag = Annotated[bool, Strict()]


def _path(value: object) -> object:
    return Path(value) if isinstance(value, str) and value else value


def _optional_path(value: object) -> object:
    return None if value == "" else _path(value)


FilePath = Annotated[Path, Strict(), BeforeValidator(_path)]
OptionalPath = Annotated[Annotated[Path, Strict()] | None, BeforeValidator(_optional_path)]
"""TOML and the environment know no null: there an empty text says that there is none."""


class Section(BaseModel):
    """A table of the settings file; unknown keys are errors, and no error repeats its input."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Give the settings that do not go together: (key within this section, words)."""
        yield from ()

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        found = list(self.contradictions())
        if found:
            said = "; ".join(f"{key}: {words}" for key, words in found)
            raise PydanticCustomError(CONTRADICTION, "{said}", {"said": said, "found": found})
        return self
