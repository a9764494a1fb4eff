"""What the command line says of records in JSON or Parquet that are of another shape."""

from collections.abc import Sequence
from typing import Final

from pipelines.cli.guarded import UsageError
from pipelines.settings.source import FieldSettings, SourceSettings

__all__ = ["record_source"]

_FIELDS: Final = tuple(FieldSettings.model_fields)


def record_source(preset: str, fields: Sequence[str]) -> SourceSettings:
    """Make the settings of a source from `--preset` and `--field FIELD=NAME[,NAME]`.

    Raises:
        UsageError: an unknown preset or field, or a name that is none.
    """
    from pydantic import ValidationError

    from pipelines.shapes.source_presets import PRESETS

    if preset not in PRESETS:
        known = ", ".join(name for name in PRESETS if name)
        raise UsageError(f"--preset: got {preset!a}, must be {known}")
    paths: dict[str, tuple[str, ...]] = {}
    for text in fields:
        field, equals, names = text.partition("=")
        if not equals or field not in _FIELDS or not names:
            raise UsageError(
                f"--field: got {text!a}, want FIELD=NAME, where FIELD is {', '.join(_FIELDS)} and "
                "NAME is the field of the record, as source.ip"
            )
        paths[field] = paths.get(field, ()) + tuple(names.split(","))
    try:
        return SourceSettings.model_validate({"preset": preset, "fields": paths})
    except ValidationError as error:
        raise UsageError(f"--field: {error.errors()[0]['msg']}") from None
