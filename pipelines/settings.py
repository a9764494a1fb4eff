"""What a live run is told: where Kafka and the block store are, and how each stage behaves."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "DetectSettings",
    "IngestSettings",
    "KafkaSettings",
    "LiveSettings",
    "Role",
    "StoreSettings",
    "TopicSettings",
    "WebSettings",
    "WebhookSettings",
]

Role = Literal["ingest", "detect", "publish", "alert"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TopicSettings(_Section):
    """Names of the topics; `prefix` goes before those that are ours (not before the input)."""

    input: str = "mail-events"
    log: str = "floodwatch-log"
    listings: str = "floodwatch-listings"
    dead_letters: str = "floodwatch-dead-letters"
    prefix: str = ""
    replication: int = Field(default=3, ge=1)


class KafkaSettings(_Section):
    """How to reach Kafka."""

    bootstrap: str = "localhost:9092"
    client_id: str = "floodwatch"
    group: str = "floodwatch"
    session_s: float = Field(default=30.0, ge=6)
    request_s: float = Field(default=20.0, ge=1)
    topics: TopicSettings = TopicSettings()


class IngestSettings(_Section):
    """How input becomes tallies."""

    max_records: int = Field(default=10_000, ge=1)
    heartbeat: Literal["write", "idle", "off"] = "write"
    heartbeat_s: float = Field(default=1.0, gt=0)
    commit_every_s: float = Field(default=1.0, gt=0)
    ahead_s: int = Field(default=600, ge=10)
    start: Literal["oldest", "newest"] = "oldest"


class DetectSettings(_Section):
    """How the log becomes decisions."""

    policy: Path | None = None
    asn_tables: tuple[Path, ...] = ()
    providers: Path | None = None
    snapshot: Path = Path("floodwatch.snapshot")
    snapshot_every_s: float = Field(default=60.0, gt=0)
    dead_after_s: float = Field(default=60.0, gt=0)


class StoreSettings(_Section):
    """The block store."""

    url: str = "sqlite:///floodwatch.db"
    password_file: Path | None = None
    ca_file: Path | None = None


class WebhookSettings(_Section):
    """Who is told when an address of a large provider gets listed; without a URL nobody is."""

    url: str = Field(default="", description="where alerts are posted; empty: nowhere")
    secret_file: Path | None = Field(
        default=None,
        description="secrets that sign alerts, a line each, whsec_ and base64; each of them signs",
    )
    ca_file: Path | None = Field(
        default=None, description="certificates (PEM) to trust instead of the usual ones"
    )
    providers: tuple[str, ...] = Field(
        default=(), description="providers to tell of; empty: all that the provider file names"
    )
    source: str = Field(
        default="floodwatch",
        min_length=1,
        pattern=r"^[!-~]+$",
        description="the `source` of the CloudEvents, a URI that names this installation",
    )
    lead_s: float = Field(
        default=1.0, ge=0, description="seconds that the first listing of an incident may wait"
    )
    group_s: float = Field(
        default=30.0, ge=0, description="seconds between two messages about one incident"
    )
    group_changes: int = Field(default=100, ge=1, description="most changes in one message")
    waiting_changes: int = Field(
        default=1_000, ge=1, description="changes that may wait in memory before reading pauses"
    )
    request_s: float = Field(
        default=10.0, gt=0, description="seconds that one attempt may take in all"
    )
    first_retry_s: float = Field(
        default=1.0, gt=0, description="longest wait after a first failure; doubles with each"
    )
    longest_retry_s: float = Field(
        default=60.0, gt=0, description="longest wait between two attempts, Retry-After included"
    )


class WebSettings(_Section):
    """Where health and metrics are served; port 0 serves none."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65_535)


class LiveSettings(_Section):
    """All of it."""

    kafka: KafkaSettings = KafkaSettings()
    ingest: IngestSettings = IngestSettings()
    detect: DetectSettings = DetectSettings()
    store: StoreSettings = StoreSettings()
    webhook: WebhookSettings = WebhookSettings()
    web: WebSettings = WebSettings()
    shutdown_s: float = Field(default=10.0, gt=0)
