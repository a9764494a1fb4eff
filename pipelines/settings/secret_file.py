"""Secrets stand in files of their own: read when they are used, and never shown."""

import stat
from pathlib import Path
from typing import Final

from detector.errors import SettingsError
from pipelines.console.escaped import escaped

__all__ = ["MAX_SECRET_BYTES", "exposed", "read_secret"]

MAX_SECRET_BYTES: Final = 1 << 16


def read_secret(path: Path, key: str) -> str:
    """Give what a file holds, without one final newline; `key` is the setting that names it.

    Raises:
        SettingsError: it cannot be read, is empty, too large or no text.
    """
    name = escaped(str(path))
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
        secret = content.decode()
    except UnicodeDecodeError:
        said = f"{name} is not UTF-8: save it as UTF-8 text"
    except OSError as error:
        said = f"{name} cannot be read ({error.strerror}): check the path and its permissions"
    except ValueError as error:
        said = f"{name} is no path of a file ({error}): check the path"
    else:
        secret = secret.removesuffix("\n").removesuffix("\r")
        if not secret:
            said = f"{name} is empty: write the secret into it"
        elif len(content) > MAX_SECRET_BYTES:
            said = f"{name} is larger than {MAX_SECRET_BYTES >> 10} KiB: is it the right file?"
        else:
            return secret
    raise SettingsError([(key, said)]) from None


def exposed(path: Path) -> bool:
    """Say whether every user of this machine can read a file; one that is not there is not."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except (OSError, ValueError):
        return False
