"""The demonstration of a live installation comes to what it promises."""

import re
from pathlib import Path

import pytest

from tests.live.demo import Scale, demonstrate


@pytest.mark.needs("redis-server")
@pytest.mark.needs("redis-cli")
@pytest.mark.usefixtures("kafka_jars")
def test_a_smaller_demonstration_decides_as_a_replay_does(tmp_path: Path) -> None:
    """One ingest and one detector are killed; the bytes are the same, and Redis knows them."""
    said: list[str] = []
    scale = Scale(events=20_000, hours=0.5, feed_s=8.0, partitions=3)
    assert demonstrate(tmp_path / "demo", scale, said.append), "\n".join(said)
    text = "\n".join(said)
    assert len(re.findall(r"^  kill -9 \d+ \((?:ingest|detect) 1\)$", text, re.MULTILINE)) == 2
    assert len(set(re.findall(r"sha256 ([0-9a-f]{64})", text))) == 1
    assert '"rule":' in text
    assert "(nil)" in text
    assert re.search(r"is listed \(as of", text)
    assert re.search(r"is not listed \(as of", text)
