"""Signatures as Standard Webhooks has them, and the files that secrets come from."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.alerts import AlertSettingsError, sign, verify
from pipelines.alerts.settings_check import checked_url, secrets_of, trust_of
from pipelines.settings.model import WebhookSettings
from tests.alerts.alert_world import KEY, SECRET

OTHER = bytes(24)
NOW_S = 1_767_225_600


def test_the_known_answer_of_the_specification() -> None:
    """The example that its reference libraries test themselves with."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [key])
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_while_a_secret_is_changed_receivers_with_either_are_content() -> None:
    signature = sign("e1", NOW_S, b"{}", [KEY, OTHER])
    assert signature.count(" ") == 1
    for key in (KEY, OTHER):
        assert verify("e1", str(NOW_S), b"{}", signature, keys=[key], now_s=NOW_S)
    assert not verify("e1", str(NOW_S), b"{}", signature, keys=[b"x" * 24], now_s=NOW_S)


@given(
    message_id=st.text(), time=st.text(), body=st.binary(), signature=st.text(), now_s=st.integers()
)
def test_nothing_that_a_stranger_sends_is_ours_or_raises(
    message_id: str, time: str, body: bytes, signature: str, now_s: int
) -> None:
    message_id = message_id.encode("utf-8", "replace").decode()
    assert not verify(message_id, time, body, signature, keys=[KEY], now_s=now_s)


@pytest.mark.parametrize("late_s", [-301, 301])
def test_an_old_message_is_not_ours_any_more(late_s: int) -> None:
    signature = sign("e1", NOW_S, b"{}", [KEY])
    assert not verify("e1", str(NOW_S), b"{}", signature, keys=[KEY], now_s=NOW_S + late_s)


def test_signatures_of_versions_to_come_are_skipped() -> None:
    signature = "v1a,AAAA v9 " + sign("e1", NOW_S, b"{}", [KEY])
    assert verify("e1", str(NOW_S), b"{}", signature, keys=[KEY], now_s=NOW_S)


def test_a_secret_file_has_a_secret_a_line(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"# the new one\n{SECRET}\n\nwhsec_{base64.b64encode(OTHER).decode()}\r\n")
    assert secrets_of(WebhookSettings(secret_file=path)) == (KEY, OTHER)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# none\n",
        "hunter2",
        "whsec_",
        "whsec_c2hvcnQ=",
        f"{SECRET}=",
        "whsec_" + "A" * 200,
        "\0",
    ],
)
def test_what_is_no_secret_is_told_with_its_line_and_never_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secret"
    path.write_text(text)
    with pytest.raises(AlertSettingsError, match=r"webhook\.secret_file: .*openssl") as caught:
        secrets_of(WebhookSettings(secret_file=path))
    assert len(text) < 7 or text not in str(caught.value)


def test_files_that_cannot_be_used_are_told_in_words(tmp_path: Path) -> None:
    gone, no_certificate = tmp_path / "gone", tmp_path / "text"
    no_certificate.write_text("text")
    with pytest.raises(AlertSettingsError, match="alerts are signed"):
        secrets_of(WebhookSettings())
    with pytest.raises(AlertSettingsError, match=r"gone: cannot be read \(No such file"):
        secrets_of(WebhookSettings(secret_file=gone))
    with pytest.raises(AlertSettingsError, match=r"webhook\.ca_file: .* no certificate in PEM"):
        trust_of(WebhookSettings(ca_file=no_certificate))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook.example/token",
        "ftp://hook.example/token",
        "https:///token",
        "https://a.example:x/token",
    ],
)
def test_what_is_no_address_is_told_without_the_tokens_in_it(url: str) -> None:
    with pytest.raises(AlertSettingsError, match=r"webhook\.url: .*must be an address") as caught:
        checked_url(WebhookSettings.model_construct(url=url))  # the settings refuse some themselves
    assert "token" not in str(caught.value)
