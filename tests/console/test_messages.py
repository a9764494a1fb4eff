"""Talk on stderr: one line a saying, hostile values escaped, a storm of one library told short."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.console.messages import logger_of, start_logging, stop_logging

HOSTILE = "a\x1b[2Jb\r\nlevel=error\u202ec\u2028\udc80"
ESCAPED = "a\\u001b[2Jb\\u000d\\u000alevel=error\\u202ec\\u2028\\udc80"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Now:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture(autouse=True)
def levels() -> Iterator[None]:
    """Leave the levels of the process as they were."""
    loggers = [logging.getLogger(), logging.getLogger("floodwatch")]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().split("\n") if line]


def test_where_no_terminal_is_each_saying_is_a_json_object_on_a_line() -> None:
    out = io.StringIO()
    handler = start_logging(stream=out)
    logger_of("alerts").info("webhook answered", status=500, host="hook.example")
    logging.getLogger("aiokafka.conn").warning("node %s is down", 1)
    logger_of("alerts").debug("not heard")
    logging.getLogger("httpx").info("not heard")
    stop_logging(handler)
    first, second = lines(out)
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "level": "info", "logger": "floodwatch.alerts", "event": "webhook answered",
        "status": 500, "host": "hook.example",
    }  # fmt: skip
    assert second["event"] == "node 1 is down"
    assert second["level"] == "warning"


@pytest.mark.parametrize("out", [io.StringIO(), Terminal()], ids=["json", "people"])
def test_no_value_moves_a_cursor_or_makes_a_line(out: io.StringIO) -> None:
    handler = start_logging(stream=out)
    logger_of("x").warning("said", text=HOSTILE, deep={"k\x1b": [HOSTILE]}, raw=b"\x1b")
    logging.getLogger("lib\x1b").warning("got %s", HOSTILE)
    stop_logging(handler)
    text = out.getvalue()
    wrong = ("\r", "\u202e", "\u2028", "\udc80", "\x1b[2J", "k\x1b", "lib\x1b")
    assert [c for c in wrong if c in text] == []
    assert text.count("\n") == 2


def test_values_are_escaped_the_same_at_every_depth() -> None:
    out = io.StringIO()
    handler = start_logging(stream=out)
    logger_of("x").warning("said", text=HOSTILE, deep={"k": [HOSTILE, 1, None, True]})
    stop_logging(handler)
    (line,) = lines(out)
    assert line["text"] == ESCAPED
    assert line["deep"] == {"k": [ESCAPED, 1, None, True]}


@pytest.mark.parametrize("out", [io.StringIO(), Terminal()], ids=["json", "people"])
def test_a_traceback_keeps_its_lines_and_its_message_is_escaped(out: io.StringIO) -> None:
    handler = start_logging(stream=out)
    try:
        raise ValueError(HOSTILE)  # noqa: TRY301 - the case
    except ValueError:
        logger_of("x").exception("failed")
        logging.getLogger("lib").exception("failed there")
    stop_logging(handler)
    text = out.getvalue()
    assert text.count("Traceback (most recent call last)") == 2
    assert "\x1b[2J" not in text
    assert "\u202e" not in text


def test_on_a_terminal_a_saying_is_a_line_for_people() -> None:
    out = Terminal()
    handler = start_logging(stream=out)
    logger_of("x").warning("store is slow", waited_s=3)
    stop_logging(handler)
    assert "store is slow" in out.getvalue()
    assert not out.getvalue().startswith("{")


@pytest.mark.parametrize("library", ["aiokafka.conn", "uvicorn.error"])
def test_a_storm_of_one_library_is_one_line_a_minute_and_a_count(library: str) -> None:
    out, now = io.StringIO(), Now()
    handler = start_logging(stream=out, elapsed_s=now)
    noisy = logging.getLogger(library)
    for _ in range(955):
        noisy.error("Unable connect to node with id %s", 1)
    noisy.error("another kind of line")
    logger_of("x").warning("ours are never held back")
    assert len(lines(out)) == 2
    now.s += 60
    logger_of("x").warning("later")
    told = lines(out)[2:]
    stop_logging(handler)
    assert [line["event"] for line in told] == [
        "955 similar lines were suppressed, the most frequent: Unable connect to node with id %s",
        "later",
    ]
    assert told[0]["logger"] == library.partition(".")[0]


def test_a_library_that_goes_on_is_heard_once_a_minute() -> None:
    out, now = io.StringIO(), Now()
    handler = start_logging(stream=out, elapsed_s=now)
    for _ in range(300):
        now.s += 1
        logging.getLogger("aiokafka").warning("down")
    stop_logging(handler)
    said = [line["event"] for line in lines(out)]
    assert said.count("down") == 5
    assert len(said) == 5 + 5


def test_what_was_held_back_is_told_at_the_end_too() -> None:
    out = io.StringIO()
    handler = start_logging(stream=out, elapsed_s=Now())
    for number in range(8):
        logging.getLogger("aiokafka").warning("down %d", number)
    stop_logging(handler)
    assert lines(out)[-1]["event"].startswith(
        "7 similar lines were suppressed, the most frequent: "
    )


def test_the_throttle_keeps_a_bounded_number_of_templates() -> None:
    out = io.StringIO()
    handler = start_logging(stream=out, elapsed_s=Now())
    for number in range(1_000):
        logging.getLogger("aiokafka").warning(f"made with an f-string {number}")  # noqa: G004 - the case
    stop_logging(handler)
    assert len(lines(out)) == 2
    assert lines(out)[-1]["event"] == (
        "999 similar lines were suppressed, the most frequent: lines of many kinds"
    )
