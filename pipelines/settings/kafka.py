"""How a live run reaches Kafka, and what its topics are called."""

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from pipelines.settings.section import SECRET, Flag, Number, OptionalPath, Section, Whole

__all__ = ["KafkaSettings", "SaslSettings", "TlsSettings", "TopicSettings"]

_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]*", re.ASCII)
_LONGEST_TOPIC: Final = 249
_BROKER: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?", re.ASCII)
_LAST_PORT: Final = 65_535


def _brokers(text: str) -> str:
    for broker in text.split(","):
        found = _BROKER.fullmatch(broker.strip())
        if found is None or not 0 < int(found[1] or 1) <= _LAST_PORT:
            raise ValueError("must be host:port, several separated by commas")
    return text


def _topic(text: str) -> str:
    if not _TOPIC.fullmatch(text) or len(text) > _LONGEST_TOPIC or text in {".", ".."}:
        raise ValueError(f"must be up to {_LONGEST_TOPIC} of a-z A-Z 0-9 . _ -, as Kafka has it")
    return text


def _named_topic(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return _topic(text)


TopicName = Annotated[str, AfterValidator(_named_topic)]


class TopicSettings(Section):
    """Names of the topics; `prefix` goes before those that are ours (not before the input)."""

    input: TopicName = Field(
        default="mail-events", description="Topic with the events, or raw records."
    )
    log: TopicName = Field(default="floodwatch-log", description="Topic of the log, one partition.")
    listings: TopicName = Field(
        default="floodwatch-listings", description="Topic of the decisions, one partition."
    )
    dead_letters: TopicName = Field(
        default="floodwatch-dead-letters",
        description="Topic of the records that could not be read.",
    )
    prefix: Annotated[str, AfterValidator(_topic)] = Field(
        default="", description="Prefix of the names of log, listings and dead_letters."
    )
    replication: Whole = Field(
        default=3,
        ge=1,
        le=32_767,
        description="Replication factor of topics that floodwatch creates.",
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Topics must be told apart; Kafka takes `.` and `_` for one in the names of metrics."""
        seen = {self.input.replace(".", "_"): "input"}
        for key in ("log", "listings", "dead_letters"):
            name = f"{self.prefix}{getattr(self, key)}"
            if len(name) > _LONGEST_TOPIC:
                yield key, f"with its prefix longer than {_LONGEST_TOPIC}: shorten one of them"
            other = seen.setdefault(name.replace(".", "_"), key)
            if other != key:
                yield key, f'got the topic of {other} ("{name}"), must be one of its own'


class SaslSettings(Section):
    """Who we are to Kafka."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        default="SCRAM-SHA-512", description="SASL mechanism."
    )
    user: str = Field(default="", description="User name (not with OAUTHBEARER).")
    password_file: OptionalPath = Field(
        default=None, description="File with the password.", json_schema_extra=SECRET
    )
    token_file: OptionalPath = Field(
        default=None,
        description="File with the token of OAUTHBEARER; read again at each sign-in.",
        json_schema_extra=SECRET,
    )


class TlsSettings(Section):
    """How Kafka is known to be Kafka, and we to be us."""

    ca_file: OptionalPath = Field(
        default=None, description="CA certificates, PEM; default: those of the system."
    )
    cert_file: OptionalPath = Field(default=None, description="Client certificate, PEM.")
    key_file: OptionalPath = Field(
        default=None,
        description="Key of the client certificate, PEM without a passphrase.",
        json_schema_extra=SECRET,
    )
    verify: Flag = Field(
        default=True,
        description="Whether the broker's certificate and name are checked; false is unsafe.",
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """A certificate is no use without its key, nor the other way round."""
        if self.cert_file and not self.key_file:
            yield "key_file", "missing, must be given with cert_file"
        if self.key_file and not self.cert_file:
            yield "cert_file", "missing, must be given with key_file"


class KafkaSettings(Section):
    """How to reach Kafka."""

    bootstrap: Annotated[str, AfterValidator(_brokers)] = Field(
        default="localhost:9092",
        description="Bootstrap servers: host:port, separated by commas.",
    )
    client_id: str = Field(
        default="floodwatch", description="Client id in the broker's logs and metrics."
    )
    group: str = Field(
        default="floodwatch",
        min_length=1,
        description="Consumer group of ingest and the publishers.",
    )
    session_s: Number = Field(
        default=6.0,
        ge=6,
        le=1_800,
        description="Session timeout: silence after which Kafka reassigns the partitions, seconds.",
    )
    request_s: Number = Field(
        default=20.0,
        ge=1,
        le=1_800,
        description="How long a request to a broker may take, seconds.",
    )
    patience_s: Number = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="How long a starting stage tries to reach Kafka before it exits, seconds.",
    )
    security: Literal["plaintext", "tls", "sasl_plaintext", "sasl_tls"] = Field(
        default="plaintext",
        description="Whether the connection is encrypted (tls) and signed in (sasl).",
    )
    sasl: SaslSettings = SaslSettings()
    tls: TlsSettings = TlsSettings()
    topics: TopicSettings = TopicSettings()

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """What `security` needs must be there, and nothing that it would leave unused."""
        sasl = self.sasl
        if not self.security.startswith("sasl"):
            if sasl != SaslSettings():
                yield "security", f'got "{self.security}", must be "sasl_tls" for [kafka.sasl]'
        elif sasl.mechanism == "OAUTHBEARER":
            if not sasl.token_file:
                yield "sasl.token_file", "missing, OAUTHBEARER needs it"
        else:
            if not sasl.user:
                yield "sasl.user", f"missing, {sasl.mechanism} needs it"
            if not sasl.password_file:
                yield "sasl.password_file", f"missing, {sasl.mechanism} needs it"
        if not self.security.endswith("tls") and self.tls != TlsSettings():
            yield (
                "security",
                f'got "{self.security}", must be "tls" or "sasl_tls" for [kafka.tls]',
            )
