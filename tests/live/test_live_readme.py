"""The operators' page and the receiver of the README say what the code writes, reads and says."""

import re
import textwrap
from pathlib import Path
from typing import Any

import orjson

from detector.events.interning import KeyTables
from detector.log.records import RemovalRequest, decode_record
from pipelines.alerts import sign
from pipelines.cli.schemas import FLOOD
from pipelines.clock import now_ms
from pipelines.settings.file import load_settings
from pipelines.wire import Progress, Record, commit_text, read_listing, resume_point

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "pipelines" / "live" / "README.md").read_text("utf-8")


def example(begin: str) -> bytes:
    """Give the one block of the page that begins so."""
    (found,) = re.findall(rf"^```\w+\n({re.escape(begin)}.*)\n```$", PAGE, re.MULTILINE)
    return str(found).encode()


def test_the_listings_are_read_as_shown() -> None:
    decision = read_listing(example('{"v":1,"seq"'), "page")
    assert isinstance(decision, dict)
    assert decision["change"] == "list"
    flood = read_listing(example('{"v":1,"kind":"flood"'), "page")
    assert isinstance(flood, Record)
    assert list(flood.fields) == FLOOD["required"]
    assert read_listing(example('{"v":1,"progress"'), "page") == Progress(1773495631, 1226, 88012)


def test_the_control_is_the_bytes_shown() -> None:
    control = decode_record(bytes.fromhex(example("0184").decode()), KeyTables())
    assert isinstance(control, RemovalRequest)
    fields = orjson.loads(example('{"kind":"RemovalRequest"'))
    assert control == RemovalRequest(fields["time_ms"], fields["subject"], fields["request"])


def test_the_commit_is_read_as_shown() -> None:
    text = example("[1,").decode()
    assert commit_text(resume_point(45, text, "page")) == text


def test_every_topic_has_its_example_of_a_dead_letter() -> None:
    letter = orjson.loads(example('{"v":1,"topic"'))
    assert letter["whole"]
    assert letter["reason"] == "bad_client_ip"


def test_every_line_of_the_page_is_said_somewhere() -> None:
    """What an operator looks up by its words must stand in the code with these words."""
    code = "\n".join(p.read_text("utf-8") for p in (ROOT / "pipelines").rglob("*.py"))
    code = re.sub(r'"\s*\n\s*f?"', "", code)
    rows = re.findall(r"^\| `([a-z][^`]*)`(?:, \*([^*]+)\*)? \| ", PAGE, re.MULTILINE)
    lines = [row for row, _ in rows if row not in {"ingest", "detect", "publish", "alert"}]
    ours = [line for line in lines if not re.search(r"[A-Z0-9]|\.\.\.|^(mail|floodwatch)-", line)]
    assert len(ours) > 10
    assert [line for line in ours if line not in code] == []


def test_the_settings_of_the_readmes_are_settings(tmp_path: Path) -> None:
    pages = [ROOT / "README.md", ROOT / "pipelines" / "shapes" / "README.md"]
    text = "\n".join(page.read_text("utf-8") for page in pages)
    found = re.findall(r"^ *```toml\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    assert len(found) == 2
    for text in found:
        path = tmp_path / "live.toml"
        path.write_text(textwrap.dedent(text))
        assert load_settings(path, {})


def test_the_receiver_of_the_alerts_page_takes_ours_and_nothing_else() -> None:
    page = (ROOT / "pipelines" / "alerts" / "README.md").read_text("utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    scope: dict[str, Any] = {}
    exec(snippet, scope)  # noqa: S102 - our own page
    now_s, body = now_ms() // 1000, b'{"a": 1}'
    headers = {
        "webhook-id": "e1",
        "webhook-timestamp": str(now_s),
        "webhook-signature": "v9,x " + sign("e1", now_s, body, [b"k" * 24]),
    }
    secret = "whsec_" + "a2tr" * 8
    assert scope["is_ours"](headers, body, secret)
    assert not scope["is_ours"](headers, body + b" ", secret)
    assert not scope["is_ours"](headers | {"webhook-timestamp": str(now_s - 400)}, body, secret)
