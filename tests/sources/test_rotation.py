import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.rotation import rotation_families


@pytest.mark.parametrize(
    "family",
    [
        ["mail.log.10.gz", "mail.log.2.gz", "mail.log.1", "mail.log"],
        ["mail.log.1", "mail.log.0", "mail.log"],
        ["mail.log-20251231.gz", "mail.log-20260101.zst", "mail.log-20260102", "mail.log"],
        ["maillog.20260101-115959", "maillog.20260101-120000", "maillog"],
        ["mail.log-2025-12-31", "mail.log-2026-01-01", "mail.log"],
        ["/var/log/mail.log.2.zst", "/var/log/mail.log.1", "/var/log/mail.log"],
        ["mail.log-20251231", "mail.log.2", "mail.log.1", "mail.log"],
        ["mail.log.7.gz"],
        ["-"],
    ],
)
@given(st.randoms(use_true_random=False))
def test_a_family_is_in_time_order_however_it_is_named(family: list[str], random: object) -> None:
    shuffled = list(family)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert rotation_families(shuffled) == [family]


def test_folders_and_other_names_are_other_families() -> None:
    paths = ["a/mail.log", "b/mail.log.1", "a/mail.log.1", "mail.log.gz", "events-1.ndjson", "-"]
    assert rotation_families(paths) == [
        ["a/mail.log.1", "a/mail.log"],
        ["b/mail.log.1"],
        ["mail.log.gz"],
        ["events-1.ndjson"],
        ["-"],
    ]


@given(st.lists(st.text("a.1-2/gz0", max_size=12)))
def test_every_path_stands_in_one_family_once(paths: list[str]) -> None:
    told = [path for family in rotation_families(paths) for path in family]
    assert sorted(told) == sorted(set(paths))
