import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.k8s.built import K8S

TABLE = "192.0.2.0\t192.0.2.255\t64500\tZZ\tEXAMPLE\n"
OTHER = "198.51.100.0\t198.51.100.255\t64501\tZZ\tOTHER\n"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fetch", K8S / "base/fetch_asn_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "volume").mkdir()
    table = tmp_path / "volume/ip2asn.tsv"
    monkeypatch.setenv("ASN_TABLE", str(table))
    return table


def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "offered").write_text(text)
    monkeypatch.setenv("ASN_TABLE_URL", (tmp_path / "offered").as_uri())


def test_a_missing_table_is_fetched_and_one_that_is_there_kept(
    script: ModuleType, volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(tmp_path, monkeypatch, TABLE)
    assert script.main("--if-missing") == 0
    offer(tmp_path, monkeypatch, OTHER)
    assert script.main("--if-missing") == 0
    assert volume.read_text() == TABLE


def test_a_new_table_replaces_the_old_one_which_stays_beside_it(
    script: ModuleType, volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(tmp_path, monkeypatch, OTHER)
    volume.write_text(TABLE)
    assert script.main("--replace") == 0
    assert volume.read_text() == OTHER
    assert volume.with_name("ip2asn.tsv.previous").read_text() == TABLE
    assert len(list(volume.parent.iterdir())) == 2


@pytest.mark.parametrize("text", ["", "<html>not found</html>\n"])
def test_what_is_no_table_changes_nothing_and_says_why(
    script: ModuleType,
    volume: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
) -> None:
    offer(tmp_path, monkeypatch, text)
    volume.write_text(TABLE)
    assert script.main("--replace") == 1
    assert volume.read_text() == TABLE
    assert "set ASN_TABLE_URL in floodwatch-env" in capsys.readouterr().err


def test_without_an_address_it_says_which_variable_is_missing(
    script: ModuleType,
    volume: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("ASN_TABLE_URL", raising=False)
    assert script.main("--if-missing") == 1
    assert not volume.exists()
    assert "ASN_TABLE_URL" in capsys.readouterr().err
