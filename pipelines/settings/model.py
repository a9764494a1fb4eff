"""What a live run is told: where Kafka and the block store are, and how each stage behaves."""

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field

from pipelines.settings.kafka import KafkaSettings, SaslSettings, TlsSettings, TopicSettings
from pipelines.settings.section import SECRET, FilePath, Number, OptionalPath, Section, Whole
from pipelines.settings.source import FieldSettings, SourceSettings, ValueSettings

__all__ = [
    "DetectSettings",
    "FieldSettings",
    "IngestSettings",
    "KafkaSettings",
    "LiveSettings",
    "Role",
    "SaslSettings",
    "SiteSettings",
    "SourceSettings",
    "StoreSettings",
    "TlsSettings",
    "TopicKind",
    "TopicSettings",
    "ValueSettings",
    "WebSettings",
    "WebhookSettings",
]

Role = Literal["ingest", "detect", "publish", "alert"]
TopicKind = Literal["log", "listings", "input", "dead-letters"]

_LAST_PORT: Final = 65_535
_DAY_S: Final = 86_400


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError("must be an address of the form scheme://host/path") from None


def _without_password(url: str) -> str:
    if _split(url).password is not None:
        raise ValueError("must hold no password: put it into a file and name that password_file")
    return url


def _hook(url: str) -> str:
    parts = _split(url)
    if url and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise ValueError("must begin with https:// or http://, or be empty")
    return url


def _networks(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        try:
            ip_network(text, strict=False)
        except ValueError:
            raise ValueError("must be addresses or networks in CIDR notation") from None
    return texts


Networks = Annotated[tuple[str, ...], AfterValidator(_networks)]


class SiteSettings(Section):
    """What a mail log cannot say of the site."""

    copies: tuple[str, ...] = Field(
        default=(), description="Mailboxes that receive copies of other mail, such as an archive."
    )
    networks: Networks = Field(
        default=(),
        description="Networks of the site's own hosts; their mail is outbound, never a flood.",
    )
    recipient_delimiter: str = Field(
        default="+",
        max_length=8,
        pattern=r"^[!-?\[-`{-~]*$",
        description="Characters that end the name of a mailbox, as recipient_delimiter of Postfix.",
    )


class IngestSettings(Section):
    """How input becomes tallies."""

    max_records: Whole = Field(
        default=4_000, ge=1, le=1_000_000, description="Maximum number of records per batch."
    )
    heartbeat: Literal["write", "idle", "off"] = Field(
        default="write",
        description=(
            "How silence is reported: as a heartbeat in the input, as idle in the log, or not."
        ),
    )
    heartbeat_s: Number = Field(
        default=1.0, gt=0, le=_DAY_S, description="Interval at which silence is reported, seconds."
    )
    commit_every_s: Number = Field(
        default=1.0,
        gt=0,
        le=_DAY_S,
        description="Interval at which input offsets are committed, seconds.",
    )
    ahead_s: Whole = Field(
        default=600,
        ge=10,
        le=_DAY_S,
        description="How far ahead of the detector a partition is read, seconds of event time.",
    )
    start: Literal["oldest", "newest"] = Field(
        default="oldest", description="Where to start in a partition without a committed offset."
    )


class DetectSettings(Section):
    """How the log becomes decisions."""

    policy: OptionalPath = Field(
        default=None, description="Policy file; default: the built-in policy."
    )
    asn_tables: tuple[FilePath, ...] = Field(default=(), description="IP-to-ASN tables.")
    providers: OptionalPath = Field(
        default=None,
        description="File of large providers; default: the list shipped with floodwatch.",
    )
    snapshot: FilePath = Field(
        default=Path("floodwatch.snapshot"), description="File that keeps the detector's state."
    )
    snapshot_every_s: Number = Field(
        default=60.0,
        gt=0,
        le=_DAY_S,
        description="Interval at which the state is written, seconds.",
    )
    dead_after_s: Number = Field(
        default=60.0,
        gt=0,
        le=_DAY_S,
        description=(
            "Silence in the log after which the detector stops waiting for a partition, seconds."
        ),
    )


class StoreSettings(Section):
    """The block store."""

    url: Annotated[str, AfterValidator(_without_password)] = Field(
        default="sqlite:///floodwatch.db",
        repr=False,
        description="Where listings are kept: sqlite:///path, redis://host:port/0 or rediss://.",
    )
    password_file: OptionalPath = Field(
        default=None, description="File with the password of Redis.", json_schema_extra=SECRET
    )
    ca_file: OptionalPath = Field(
        default=None,
        description="CA certificates for rediss://, PEM; default: those of the system.",
    )


class WebhookSettings(Section):
    """Who is told when an address of a large provider gets listed; without a URL nobody is."""

    url: Annotated[str, AfterValidator(_hook)] = Field(
        default="", repr=False, description="URL to which alerts are posted; empty for none."
    )
    secret_file: OptionalPath = Field(
        default=None,
        description="File with the keys that sign an alert, one a line, whsec_ and base64.",
        json_schema_extra=SECRET,
    )
    ca_file: OptionalPath = Field(
        default=None, description="CA certificates, PEM; default: those of the system."
    )
    providers: tuple[str, ...] = Field(
        default=(), description="Names of the providers to alert about; empty for all of them."
    )
    source: str = Field(
        default="floodwatch",
        min_length=1,
        pattern=r"^[!-~]+$",
        description="Source of the CloudEvents, a URI that names this installation.",
    )
    lead_s: Number = Field(
        default=1.0,
        ge=0,
        le=60,
        description="Wait before the first message of an incident, seconds.",
    )
    group_s: Number = Field(
        default=30.0, ge=0, le=_DAY_S, description="Time between messages of an incident, seconds."
    )
    group_changes: Whole = Field(
        default=100, ge=1, le=10_000, description="Maximum number of changes in one message."
    )
    waiting_changes: Whole = Field(
        default=1_000, ge=1, le=1_000_000, description="Maximum number of changes kept in memory."
    )
    request_s: Number = Field(
        default=10.0, gt=0, le=300, description="Timeout of one attempt, seconds."
    )
    first_retry_s: Number = Field(
        default=1.0, gt=0, le=_DAY_S, description="Longest wait after the first failure, seconds."
    )
    longest_retry_s: Number = Field(
        default=60.0, gt=0, le=_DAY_S, description="Longest wait between two attempts, seconds."
    )


class WebSettings(Section):
    """Where health and metrics are served; port 0 serves none."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on.")
    port: Whole = Field(
        default=0, ge=0, le=_LAST_PORT, description="Port to listen on; 0 disables it."
    )


class LiveSettings(Section):
    """All of it."""

    shutdown_s: Number = Field(
        default=10.0,
        gt=0,
        le=_DAY_S,
        description="Time for all stages to stop after a signal, seconds.",
    )
    kafka: KafkaSettings = KafkaSettings()
    source: SourceSettings = SourceSettings()
    site: SiteSettings = SiteSettings()
    ingest: IngestSettings = IngestSettings()
    detect: DetectSettings = DetectSettings()
    store: StoreSettings = StoreSettings()
    webhook: WebhookSettings = WebhookSettings()
    web: WebSettings = WebSettings()

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """A partition that is alive must be able to say so in time."""
        every, dead = self.ingest.heartbeat_s, self.detect.dead_after_s
        if self.ingest.heartbeat != "off" and every >= dead:
            yield (
                "ingest.heartbeat_s",
                f"got {every:g}, must be less than detect.dead_after_s ({dead:g})",
            )
