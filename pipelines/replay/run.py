"""Replay: finite inputs through ingest, detect and publish, in one process and in log order."""

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from detector.engine import Engine
from detector.errors import FloodwatchError
from detector.events.contract import Reject
from detector.events.decode import EventReader
from detector.events.interning import KeyTables
from detector.live_keys import release_due, release_keys
from detector.log.records import End, LogRecord, Partitions, RemovalRequest
from detector.policy.settings import Policy, policy_digest
from detector.policy.text import policy_to_json
from detector.tally.tally import Tally, tally_rows
from pipelines.clock import now_ms
from pipelines.console.escaped import escaped, escaped_bytes
from pipelines.console.resident import lazy_garbage
from pipelines.ports import REMOVAL, BlockStore
from pipelines.replay.cost import FloodCost
from pipelines.replay.formats import line_reader
from pipelines.replay.inspection import Inspection, inspect
from pipelines.replay.log_file import LogWriter, read_log
from pipelines.replay.partition import PartitionFiles
from pipelines.replay.same_input import INPUT, check_same_input, heads_fact
from pipelines.replay.summary import Findings, Summary, largest, most_common, total
from pipelines.settings.source import SourceSettings
from pipelines.shapes.field_mapping import columns_read
from pipelines.shapes.raw_postfix import PostfixTerms
from pipelines.sources.files import UnreadableInputError
from pipelines.stages.detect import Detection
from pipelines.stages.ingest import IngestCounts, PartitionIngest
from pipelines.stages.publish import Publisher, SideFile
from pipelines.stages.understood import misread_inputs
from pipelines.stores.redis_url import masked_url
from pipelines.tables.asn_file import load_asn_files
from pipelines.tables.provider_file import load_providers
from pipelines.wire import reject_line

__all__ = ["Progress", "Replay", "replay"]

_MOST_NETWORKS: Final = 10
_ROWS_TOGETHER: Final = 1 << 16
"""Rows that wait for the detector: many seconds that close together cost it less."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What to replay, with what, into what."""

    inputs: tuple[str, ...]
    store_url: str
    policy: Policy = field(default_factory=Policy)
    input_format: str | None = None
    postfix: PostfixTerms = field(default_factory=PostfixTerms)
    source: SourceSettings = field(default_factory=SourceSettings)
    delimiters: str = "+"
    asn_tables: tuple[Path, ...] = ()
    providers: Path | None = None
    decisions: Path | None = None
    floods: Path | None = None
    rejects: Path | None = None
    log: Path | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay is: `total_bytes` is None where a pipe is among the inputs."""

    bytes_read: int
    total_bytes: int | None
    lines: int
    listed: int


def replay(
    spec: Replay, store: BlockStore, progress: Callable[[Progress], None] = lambda _: None
) -> Summary:
    """Read all inputs, decide, and publish every change; give the numbers.

    An input that fails in the middle is named in the summary's `failures`; the data before it is
    used.

    Raises:
        FloodwatchError: what cannot be used as it was named, or an output that cannot be written.
    """
    inspection = inspect(spec.inputs, spec.input_format, spec.source)
    with contextlib.ExitStack() as stack, lazy_garbage():
        run = _Run(spec, store, inspection, stack, progress)
        run.read()
        return run.finish()


class _Run:
    """The wiring of one replay."""

    def __init__(
        self, spec: Replay, store: BlockStore, inspection: Inspection,
        stack: contextlib.ExitStack, progress: Callable[[Progress], None],
    ) -> None:  # fmt: skip
        self._spec, self._store, self._inspection = spec, store, inspection
        self._progress = progress
        self._asns = asns = load_asn_files(spec.asn_tables) if spec.asn_tables else None
        self._keys = KeyTables(spec.delimiters)
        providers = load_providers(spec.providers)
        engine = Engine(spec.policy, self._keys, lookup=asns, providers=providers)
        self._facts = {
            "policy": policy_to_json(spec.policy),
            "policy_digest": policy_digest(spec.policy),
            "asn_digest": asns.digest if asns is not None else "",
            "provider_digest": providers.digest,
            "input_names": json.dumps([escaped(p.name) for p, _, _ in inspection.partitions]),
        }
        heads = [head for _, _, head in inspection.partitions]
        check_same_input(store, masked_url(spec.store_url), heads, self._facts)
        self._facts[INPUT] = heads_fact(heads)

        def side(path: Path | None) -> SideFile | None:
            return None if path is None else stack.enter_context(SideFile(path))

        self._decisions, self._floods, self._rejects, self._log = map(
            side, (spec.decisions, spec.floods, spec.rejects, spec.log)
        )
        keep = None if self._log is None else LogWriter(self._log, self._keys).write
        self._detection = Detection(engine, keep)
        self._publisher = Publisher(store, self._decisions, floods=self._floods)
        self._findings, self._cost = Findings(), FloodCost(engine)
        self._counts = [IngestCounts() for _ in inspection.partitions]
        self._files = [
            PartitionFiles(p, kind, inspection.opened.get(p.name), columns_read(spec.source))
            for p, kind, _ in inspection.partitions
        ]
        for file in self._files:
            stack.callback(file.close)
        self._first_ms: int | None = None
        self._failures: list[FloodwatchError] = []

    def read(self) -> None:
        """Read all there is."""
        if self._inspection.is_log:
            self._read_log()
        else:
            self._read_lines()

    def _read_log(self) -> None:
        """Follow a dump of the log: its records are what they were."""
        self._take(self._requests(pending_only=True))
        with contextlib.closing(self._inspection.opened_log()) as file:
            try:
                for records in read_log(file, self._keys):
                    self._counts[0].count_tallies([r for r in records if isinstance(r, Tally)])
                    self._take(records)
                    self._let_go([])
                    self._show(file.raw_bytes)
            except UnreadableInputError as error:
                self._failures.append(error)

    def _read_lines(self) -> None:
        """Read the partitions, always the one that is least far in event time."""
        clock = self._spec.policy.clock
        events = EventReader(self._keys)
        partitions = []
        for number, (partition, kind, _) in enumerate(self._inspection.partitions):
            newest = self._inspection.newest_ms(partition) or now_ms()
            reader = line_reader(kind, events, self._spec.postfix, self._spec.source, newest)
            partitions.append(PartitionIngest(number, reader, clock, self._counts[number]))
        self._take([Partitions(len(partitions)), *self._requests(pending_only=False)])
        reading = list(partitions)
        waiting: list[LogRecord] = []
        rows = 0
        while reading:
            one = min(reading, key=lambda each: (each.clock_ms, each.partition))
            files = self._files[one.partition]
            block = files.next_block(one.next_line)
            tallies, rejects = one.feed(block) if block else one.finish()
            self._keep_rejects(files, rejects)
            waiting += tallies
            rows += sum(map(len, tallies))
            one.acknowledge(tallies)
            if not block:
                waiting.append(End(one.partition))
                self._failures += files.failures
                reading.remove(one)
            if not reading or rows >= _ROWS_TOGETHER or release_due(self._detection.engine):
                self._take(waiting)
                waiting, rows = [], 0
                self._let_go(reading)
            self._show(sum(each.raw_bytes for each in self._files))

    def _let_go(self, reading: Sequence[PartitionIngest]) -> None:
        """Forget the keys that nobody needs, once there are too many."""
        engine = self._detection.engine
        if not release_due(engine):
            return
        ips, mailboxes = self._cost.slots_in_use()
        for one in reading:
            own_ips, own_mailboxes = one.slots_in_use()
            ips += own_ips
            mailboxes += own_mailboxes
        release_keys(engine, ips, mailboxes)
        self._cost.let_go()

    def _requests(self, *, pending_only: bool) -> list[LogRecord]:
        """Give the removal requests of the store as controls, answered ones at their old place."""
        return [
            RemovalRequest(request.time_ms, request.subject, str(request.id))
            for request in self._store.requests(pending_only=pending_only)
            if request.kind == REMOVAL
        ]

    def _take(self, records: Sequence[LogRecord]) -> None:
        """Hand records to the detector, and what it says to everybody else."""
        for group, changes in self._detection.take(records):
            rows = tally_rows([record for record in group if isinstance(record, Tally)])
            if self._first_ms is None and len(rows):
                self._first_ms = int(rows.tick.min()) * 1000
            floods = self._detection.engine.flood_records
            self._findings.count(changes, floods)
            self._cost.count(rows, changes)
            facts = self._facts_now() if changes or floods else {}
            self._publisher.publish(changes, facts, floods)

    def _facts_now(self) -> dict[str, str]:
        watermark = self._detection.watermark_ms
        return self._facts | ({} if watermark is None else {"watermark_ms": str(watermark)})

    def _keep_rejects(self, files: PartitionFiles, rejects: Sequence[Reject]) -> None:
        if self._rejects is None:
            return
        for reject in rejects:
            self._rejects.write(reject_line(*files.place(reject.position), reject))

    def _show(self, bytes_read: int) -> None:
        self._progress(
            Progress(
                bytes_read,
                self._inspection.total_bytes,
                sum(each.lines for each in self._counts),
                self._findings.changes["list"],
            )
        )

    def finish(self) -> Summary:
        """Put everything in its place and sum up.

        Raises:
            TallyGapError: the input was a log in which a tally is missing.
        """
        if (missing := self._detection.engine.closer.missing()) is not None:
            raise missing
        networks = self._networks()
        names = {str(asn): name for asn, name, _ in networks if name}
        self._publisher.finish(self._facts_now() | {"asn_names": json.dumps(names)})
        for file in (self._decisions, self._floods, self._rejects, self._log):
            if file is not None:
                file.commit()
        watermark = self._detection.watermark_ms
        at = watermark or 0
        findings, cost, counts = self._findings, self._cost, IngestCounts()
        for each in self._counts:
            counts.add(each)
        inputs = [escaped(p.name) for p, _, _ in self._inspection.partitions]
        verdict = misread_inputs(list(zip(inputs, self._counts, strict=True)), counts)
        floods = findings.floods()
        return Summary(
            inputs=tuple(
                (escaped(p.name), kind or "empty", len(p.paths))
                for p, kind, _ in self._inspection.partitions
            ),
            bytes_read=sum(file.raw_bytes for file in self._files),
            lines=counts.lines, records=counts.records, events=counts.events, late=counts.late,
            heartbeats=counts.heartbeats, forgotten=counts.forgotten,
            rejects=most_common(counts.rejects), skipped=most_common(counts.kinds),
            skipped_examples={
                kind: escaped_bytes(line)
                for kind, line in sorted(counts.examples.items()) if kind in counts.kinds
            },
            first_ms=self._first_ms, last_ms=watermark,
            changes=most_common(findings.changes), rules=most_common(findings.rules),
            providers=most_common(findings.providers), networks=networks[:_MOST_NETWORKS],
            floods_found=len(floods), floods=largest(floods), floods_total=total(floods),
            in_force=len(self._store.listings(at)), held=len(self._store.held(at)),
            messages=cost.messages, stopped=sum(flood.stopped for flood in floods),
            cost=cost.cost, refused=cost.refused(), alerts=findings.alerts,
            gateways=tuple(sorted(findings.gateways)),
            policy=self._facts["policy_digest"], shadow=self._spec.policy.mode == "shadow",
            store=masked_url(self._spec.store_url), new_changes=self._publisher.new,
            asn_table=self._asns is not None,
            asn_problems=len(self._asns.problems) if self._asns is not None else 0,
            left_out=tuple(map(escaped, self._inspection.left_out)),
            misread=verdict, failures=tuple(map(str, self._failures)),
        )  # fmt: skip

    def _networks(self) -> tuple[tuple[int, str, int], ...]:
        """Give the networks with listings: ASN, name, how many."""
        counts = self._findings.asns
        by_count = sorted(counts, key=lambda asn: (-counts[asn], asn))
        name = self._asns.name if self._asns is not None else lambda _: ""
        return tuple((asn, escaped(name(asn)), counts[asn]) for asn in by_count)
