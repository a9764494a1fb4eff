"""The metrics, each declared once with its meaning and unit; the table in web/README.md agrees.

One `Telemetry` is made per process and handed around; there is no global registry. Values of
labels come from a small set of words of ours: what does not look like one, as an address would
not, is counted as `other`, and so is whatever comes after the 40th word of a label.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pipelines import clock

__all__ = ["Declared", "LabelledCounter", "LabelledGauge", "PartitionGauge", "Telemetry"]

Kind = Literal["counter", "gauge", "histogram"]

_WORD: Final = re.compile(r"[a-z][a-z_]{0,39}")
_MAX_WORDS: Final = 40
_MAX_PARTITIONS: Final = 256
_OTHER: Final = "other"
_LAG_STEPS_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_UNKNOWN: Final = float("nan")

_REASONS: Final = (
    "bad_client_ip", "bad_recipient", "bad_time", "bad_value", "empty", "future",
    "malformed_json", "malformed_line", "missing_field", "mistyped", "oversized", "too_deep",
    "too_many_recipients",
)  # fmt: skip
_CHANGES: Final = ("list", "extend", "remove", "expire", "refuse", "hold", "release")
_STORE_ERRORS: Final = (
    "access", "change", "conflict", "corrupt", "foreign", "full", "gap", "locked", "missing",
    "other", "readonly", "unavailable", "url", "version",
)  # fmt: skip
_OUTCOMES: Final = (
    "delivered", "redirected", "refused", "busy", "failed", "timed_out", "untrusted", "garbled",
    "unreachable",
)  # fmt: skip
_MISREAD: Final = ("rejected", "no_clients", "no_deliveries", "no_events", "late")
_QUEUES: Final = ("alerts",)


@dataclass(frozen=True, slots=True)
class Declared:
    """What a metric is called, counts and is measured in; `label` is empty where it has none."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    label: str = ""


class LabelledCounter:
    """A counter for each word of one label; those of `words` are exported as 0 from the start.

    Else a rate or an alert on the first error sees nothing: Prometheus needs a value before it.

    >>> telemetry = Telemetry()
    >>> telemetry.rejects.add("bad_time", 3)
    >>> telemetry.rejects.add("192.0.2.7")
    >>> telemetry.value("floodwatch_rejected_records_total", reason="other")
    1.0
    """

    def __init__(self, counter: Counter, words: Sequence[str] = ()) -> None:
        self._counter = counter
        self._words: set[str] = set()
        for word in words:
            self.add(word, 0)

    def add(self, word: str, count: int = 1) -> None:
        """Count `count` more under the word."""
        self._counter.labels(_known(word, self._words)).inc(count)


class LabelledGauge:
    """A number for each word of one label."""

    def __init__(self, gauge: Gauge, words: Sequence[str] = ()) -> None:
        self._gauge = gauge
        self._words: set[str] = set()
        for word in words:
            self.set(word, 0)

    def set(self, word: str, value: float) -> None:
        """Put the number under the word."""
        self._gauge.labels(_known(word, self._words)).set(value)


class PartitionGauge:
    """A number for each partition that this process owns.

    Past 256 partitions the rest stand together under `other`, with the highest of their numbers.
    """

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._shown: set[int] = set()
        self._rest: dict[int, float] = {}

    def set(self, partition: int, value: float) -> None:
        """Put the number of a partition."""
        if partition in self._shown or len(self._shown) < _MAX_PARTITIONS:
            self._shown.add(partition)
            self._gauge.labels(str(partition)).set(value)
            return
        self._rest[partition] = value
        self._gauge.labels(_OTHER).set(max(self._rest.values()))

    def forget(self, partition: int) -> None:
        """Take away a partition that belongs to another process now."""
        if partition in self._shown:
            self._shown.remove(partition)
            self._gauge.remove(str(partition))
        elif self._rest.pop(partition, None) is not None:
            if self._rest:
                self._gauge.labels(_OTHER).set(max(self._rest.values()))
            else:
                self._gauge.remove(_OTHER)


class Telemetry:
    """All metrics of a process and their registry; `declared` lists them.

    Ages and delays are computed when somebody looks, so that they grow while nothing moves. They
    are NaN until there is something to measure; a detector that starts says what it starts from.
    """

    def __init__(
        self,
        *,
        now_ms: Callable[[], int] = clock.now_ms,
        elapsed_s: Callable[[], float] = clock.elapsed_s,
    ) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._declared: list[Declared] = []
        self._watermark_ms: int | None = None
        self._snapshot_s: float | None = None
        self._now_ms = now_ms
        self._elapsed_s = elapsed_s
        counter, gauge, labelled = self._counter, self._gauge, self._labelled
        self.records = counter("input_records", "records", "read from the input")
        self.events = counter("input_events", "events", "that the records held")
        self.rejects = labelled(
            "rejected_records", "records", "that could not be read", "reason", _REASONS
        )
        self.misread = labelled(
            "misread_stretches",
            "stretches",
            "of input that could not be interpreted",
            "kind",
            _MISREAD,
        )
        self.late = counter("late_events", "events", "that arrived after the close of their tick")
        self.tallies = counter("written_tallies", "tallies", "that the log acknowledged")
        self.log_records = counter("log_records", "records", "of the log, read by the detector")
        self.changes = labelled(
            "listing_changes", "changes", "decided by the detector", "change", _CHANGES
        )
        self.store_errors = labelled(
            "store_errors", "errors", "of the block store", "kind", _STORE_ERRORS
        )
        self.rebalances = counter("consumer_rebalances", "rebalances", "of the consumer group")
        self.webhook_attempts = labelled(
            "webhook_attempts", "attempts", "to deliver an alert", "outcome", _OUTCOMES
        )
        delay = gauge("watermark_delay_seconds", "seconds", "from the last close to now")
        delay.set_function(self._delay_s)
        lag = "of an input partition waiting to be read"
        self.input_lag = PartitionGauge(gauge("input_lag_records", "records", lag, "partition"))
        age = gauge("snapshot_age_seconds", "seconds", "since the last snapshot was written")
        age.set_function(self._age_s)
        self._snapshot_bytes = gauge("snapshot_size_bytes", "bytes", "of the last snapshot")
        self._exported_s: float | None = None
        age = gauge("export_age_seconds", "seconds", "since the exported files were written")
        age.set_function(self._export_age_s)
        self._exported = gauge("exported_listings", "listings", "in the exported files")
        self.listed = gauge(
            "listed_subjects", "subjects", "listed and active, without shadow listings"
        )
        self.queue_depth = LabelledGauge(
            gauge("queue_depth_items", "items", "waiting between two stages", "queue"), _QUEUES
        )
        self.loop_lag = self._histogram(
            "loop_lag_seconds", "seconds", "by which the event loop woke up late", _LAG_STEPS_S
        )

    @property
    def declared(self) -> tuple[Declared, ...]:
        """All metrics, in the order of their declaration."""
        return tuple(self._declared)

    def watermark(self, time_ms: int) -> None:
        """Note the event time, Unix milliseconds, up to which all is decided."""
        self._watermark_ms = time_ms

    def snapshot_written(self, size_bytes: int, age_s: float = 0.0) -> None:
        """Note that a snapshot is on the disk, since `age_s` seconds."""
        self._snapshot_s = self._elapsed_s() - age_s
        self._snapshot_bytes.set(size_bytes)

    def exported(self, listings: int) -> None:
        """Note that the files of an export were written now."""
        self._exported_s = self._elapsed_s()
        self._exported.set(listings)

    def no_snapshot_yet(self) -> None:
        """Until the first snapshot, let its age be the time since the first call."""
        if self._snapshot_s is None:
            self.snapshot_written(0)

    def value(self, sample: str, **labels: str) -> float | None:
        """Give a sample as it would be exported now, None where there is none."""
        return self.registry.get_sample_value(sample, labels)

    def _delay_s(self) -> float:
        if self._watermark_ms is None:
            return _UNKNOWN
        return (self._now_ms() - self._watermark_ms) / 1000

    def _age_s(self) -> float:
        return _UNKNOWN if self._snapshot_s is None else self._elapsed_s() - self._snapshot_s

    def _export_age_s(self) -> float:
        return _UNKNOWN if self._exported_s is None else self._elapsed_s() - self._exported_s

    # -- declaring -----------------------------------------------------------------------------

    def _note(self, name: str, kind: Kind, unit: str, meaning: str, label: str = "") -> Declared:
        metric = Declared(f"floodwatch_{name}", kind, unit, f"{unit} {meaning}", label)
        self._declared.append(metric)
        return metric

    def _counter(self, name: str, unit: str, meaning: str, label: str = "") -> Counter:
        metric = self._note(f"{name}_total", "counter", unit, meaning, label)
        labels = (label,) if label else ()
        return Counter(metric.name, _sentence(metric), labels, registry=self.registry)

    def _labelled(
        self, name: str, unit: str, meaning: str, label: str, words: Sequence[str]
    ) -> LabelledCounter:
        return LabelledCounter(self._counter(name, unit, meaning, label), words)

    def _gauge(self, name: str, unit: str, meaning: str, label: str = "") -> Gauge:
        metric = self._note(name, "gauge", unit, meaning, label)
        labels = (label,) if label else ()
        made = Gauge(metric.name, _sentence(metric), labels, registry=self.registry)
        if not labels:
            made.set(_UNKNOWN)
        return made

    def _histogram(self, name: str, unit: str, meaning: str, steps: Sequence[float]) -> Histogram:
        metric = self._note(name, "histogram", unit, meaning)
        return Histogram(metric.name, _sentence(metric), registry=self.registry, buckets=steps)


def _sentence(metric: Declared) -> str:
    return f"{metric.meaning[0].upper()}{metric.meaning[1:]}."


def _known(word: str, words: set[str]) -> str:
    if word in words:
        return word
    if len(words) >= _MAX_WORDS or not _WORD.fullmatch(word):
        return _OTHER
    words.add(word)
    return word
