"""How a command ends: one clear message without a traceback, and the right exit code."""

import contextlib
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Final, NoReturn

import typer

from detector.errors import (
    AsnTableError,
    FloodwatchError,
    PolicyError,
    ProviderFileError,
    SettingsError,
    StoreAccessError,
    StoreForeignError,
    StoreMissingError,
    StoreUrlError,
)

__all__ = [
    "DEFAULT_STORE",
    "FAILED",
    "USAGE",
    "Terminated",
    "UsageError",
    "exit_code",
    "guarded",
    "say",
]

DEFAULT_STORE: Final = "sqlite:///floodwatch.db"
FAILED: Final = 1
USAGE: Final = 2
_STOPPED: Final = 128
_SETTINGS: Final = (
    AsnTableError,
    PolicyError,
    ProviderFileError,
    SettingsError,
    StoreAccessError,
    StoreForeignError,
    StoreMissingError,
    StoreUrlError,
)


class UsageError(FloodwatchError):
    """A command line, or settings, that cannot be carried out."""


class Terminated(BaseException):
    """A signal to stop; like Ctrl-C it leaves no incomplete file."""


def say(text: str) -> None:
    """Print a message for the user."""
    sys.stderr.write(f"{text}\n")


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Turn an exception of the body into a message and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
        sys.stdout.flush()
    except FloodwatchError as error:
        say(f"floodwatch: {error}")
        raise typer.Exit(exit_code(error)) from None
    except KeyboardInterrupt:
        say("floodwatch: interrupted: no file is incomplete, and the store is consistent")
        raise typer.Exit(_STOPPED + signal.SIGINT) from None
    except Terminated:
        say("floodwatch: stopped by a signal: no file is incomplete, and the store is consistent")
        raise typer.Exit(_STOPPED + signal.SIGTERM) from None
    except BrokenPipeError:
        # Who read our output has seen enough; Python's own flush at exit must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except OSError as error:
        where = f" {ascii(error.filename)[1:-1]}:" if error.filename else ""
        words = error.strerror or str(error)
        say(f"floodwatch:{where} {words}: check the path, its permissions and the disk")
        raise typer.Exit(FAILED) from None
    except sqlite3.Error as error:
        say(f"floodwatch: the block store is damaged or in use ({error}): replay into another one")
        raise typer.Exit(FAILED) from None
    except MemoryError:
        say("floodwatch: out of memory: lower the limits in the policy ([memory]), or add memory")
        raise typer.Exit(FAILED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def exit_code(error: FloodwatchError) -> int:
    """Give 2 for a command line or settings that must be changed, else 1."""
    from pipelines.replay.same_input import OtherReplayError
    from pipelines.sources.files import InputError, UnreadableInputError
    from pipelines.stages.publish import OutputError

    if isinstance(error, (UnreadableInputError, OutputError)):
        return FAILED
    settings = (*_SETTINGS, UsageError, InputError, OtherReplayError)
    return USAGE if isinstance(error, settings) else FAILED


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated
