"""What a followed log is, told by its first lines."""

import gzip

import pytest

from pipelines.follow.format import format_of
from pipelines.sources.files import InputError


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (b"<!DOCTYPE html>\n<p>log</p>\n", "HTML"),
        (b"2026-01-01 10:00:00 1abcde-000abc-XY <= a@b.example H=mx [192.0.2.7]\n", "Exim"),
        (gzip.compress(b"Jan  1 10:00:00 mx1 postfix/smtpd[1]: connect") + b"\n", "decompress"),
    ],
)
def test_a_file_that_is_no_log_of_ours_is_named_with_the_next_step(lines: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        format_of("mail.log", lines)


def test_a_system_log_counts_as_postfix_before_postfix_has_written() -> None:
    assert format_of("mail.log", b"Jan  1 10:00:00 mx1 sshd[1]: Connection closed\n") == "postfix"
