"""The tables of the SQLite store, and views with readable times for people who open the file."""

from typing import Final

__all__ = [
    "APPLICATION_ID",
    "BEHIND",
    "FLOODS",
    "LAYOUT",
    "LAYOUT_BEHIND",
    "LAYOUT_NEW",
    "LAYOUT_NEWEST",
    "SUMS",
]

APPLICATION_ID: Final = 0x464C5744
"""Marks the file as ours (`FLWD` in the header)."""

LAYOUT_NEW: Final = 1
"""What a new file has."""
LAYOUT_BEHIND: Final = 2
"""The same tables, but the first changes are gone (`BEHIND`): older versions would miss them."""
LAYOUT_NEWEST: Final = LAYOUT_BEHIND

BEHIND: Final = "_behind"
"""The fact that says which change was the last of those that are gone; not for others to set."""

FLOODS: Final = (
    """
CREATE TABLE IF NOT EXISTS floods (
    id     TEXT PRIMARY KEY,
    tick   INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT, WITHOUT ROWID
""",
    """
CREATE VIEW IF NOT EXISTS readable_floods AS SELECT
    id, json_extract(record, '$.state') AS state, json_extract(record, '$.victim') AS victim,
    strftime('%Y-%m-%dT%H:%M:%SZ', json_extract(record, '$.found') / 1000, 'unixepoch') AS found,
    strftime('%Y-%m-%dT%H:%M:%SZ', json_extract(record, '$.last') / 1000, 'unixepoch') AS last,
    json_extract(record, '$.messages') AS messages, json_extract(record, '$.sources') AS sources,
    json_extract(record, '$.listed') AS listed, json_extract(record, '$.stopped') AS stopped,
    record
    FROM floods
""",
)
"""Added to a file of any layout when it is opened to be written: older versions ignore it."""

SUMS: Final = "TABLE IF NOT EXISTS sums (seq INTEGER PRIMARY KEY, crc INTEGER NOT NULL) STRICT"
"""CRC-32 of each change's decision; a change of an older version has none."""

_ROW = """
    subject       TEXT PRIMARY KEY,
    tier          TEXT NOT NULL,
    rule          TEXT NOT NULL,
    asn           INTEGER,
    provider      TEXT NOT NULL,
    first_seen_ms INTEGER NOT NULL,
    last_seen_ms  INTEGER NOT NULL,
    until_ms      INTEGER NOT NULL,
    hard_until_ms INTEGER NOT NULL,
    policy        TEXT NOT NULL,
    shadow        INTEGER NOT NULL,
    listed_seq    INTEGER NOT NULL,
    listed_ms     INTEGER NOT NULL,
    seq           INTEGER NOT NULL
"""


def _rfc3339(column: str, name: str) -> str:
    # Seconds and milliseconds apart: a division by 1000.0 would round some of them.
    seconds = f"({column} - ({column} % 1000 + 1000) % 1000) / 1000"
    return (
        f"strftime('%Y-%m-%dT%H:%M:%S', {seconds}, 'unixepoch')"
        f" || printf('.%03dZ', ({column} % 1000 + 1000) % 1000) AS {name}"
    )


def _readable_rows(table: str) -> str:
    return f"""
CREATE VIEW readable_{table} AS SELECT
    r.subject, r.tier, r.rule, r.asn, r.provider,
    {_rfc3339("r.listed_ms", "since")},
    {_rfc3339("r.first_seen_ms", "first_seen")},
    {_rfc3339("r.last_seen_ms", "last_seen")},
    {_rfc3339("r.until_ms", "until")},
    {_rfc3339("r.hard_until_ms", "hard_until")},
    r.policy, r.shadow, r.seq, json_extract(c.decision, '$.evidence') AS evidence
    FROM {table} AS r JOIN changes AS c ON c.seq = r.seq
"""  # noqa: S608 - texts of this file


LAYOUT: Final = (
    """
CREATE TABLE changes (
    seq      INTEGER PRIMARY KEY,
    subject  TEXT NOT NULL,
    change   TEXT NOT NULL,
    time_ms  INTEGER NOT NULL,
    decision TEXT NOT NULL
) STRICT
""",
    "CREATE INDEX changes_by_subject ON changes (subject)",
    f"CREATE TABLE listings ({_ROW}) STRICT, WITHOUT ROWID",
    f"CREATE TABLE held ({_ROW}) STRICT, WITHOUT ROWID",
    """
CREATE TABLE requests (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    kind         TEXT NOT NULL,
    subject      TEXT NOT NULL,
    time_ms      INTEGER NOT NULL,
    text         TEXT NOT NULL,
    answered_seq INTEGER
) STRICT
""",
    "CREATE INDEX requests_pending ON requests (id) WHERE answered_seq IS NULL",
    "CREATE TABLE facts (key TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT, WITHOUT ROWID",
    _readable_rows("listings"),
    _readable_rows("held"),
    f"""
CREATE VIEW readable_changes AS SELECT
    seq, {_rfc3339("time_ms", "time")}, change, subject,
    json_extract(decision, '$.tier') AS tier,
    json_extract(decision, '$.rule') AS rule,
    json_extract(decision, '$.policy') AS policy,
    json_extract(decision, '$.evidence') AS evidence,
    decision
    FROM changes
""",  # noqa: S608 - texts of this file
    f"""
CREATE VIEW readable_requests AS SELECT
    q.id, q.kind, q.subject, {_rfc3339("q.time_ms", "received")}, q.text,
    q.answered_seq, c.change AS answer
    FROM requests AS q LEFT JOIN changes AS c ON c.seq = q.answered_seq
""",  # noqa: S608 - texts of this file
)
