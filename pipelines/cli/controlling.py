"""`floodwatch control`: appends an operator's control to the log of a live installation."""

import secrets
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from detector.log.records import AllowlistChange, AsnTableChange, Gap, OperatorAction, PolicyChange
from detector.policy.settings import policy_digest
from detector.policy.text import policy_to_json
from pipelines.cli.control_files import purge_argument, read_allowlist, read_new_policy
from pipelines.cli.guarded import FAILED, UsageError, say
from pipelines.cli.listings import print_json
from pipelines.cli.running import ask, load
from pipelines.cli.shown import rfc3339, subject_of
from pipelines.clock import now_ms
from pipelines.console.escaped import escaped
from pipelines.kafka.clients import KafkaClients
from pipelines.kafka.controls import Operator, Sent, input_partitions, send_control
from pipelines.settings.config_file import load_policy
from pipelines.settings.model import LiveSettings
from pipelines.tables.asn_file import load_asn_files

__all__ = ["Sending"]


@dataclass(frozen=True, slots=True)
class Sending:
    """Sends a control and reports its outcome. Each verb gives the exit code.

    Raises (all of them): what is wrong with the control, before anything is sent; a `BrokerError`.
    """

    config: Path | None
    wait_s: float
    as_json: bool

    def policy(self, path: Path) -> int:
        """Send a whole policy."""
        settings = load(self.config)
        file = settings.detect.policy
        policy = read_new_policy(path, load_policy(None if file is None else str(file)))
        control = PolicyChange(now_ms(), policy_to_json(policy))
        return self._send(settings, "policy", control, f"policy {policy_digest(policy)}")

    def allowlist(self, source: str) -> int:
        """Send the whole allowlist of the operators."""
        ranges = read_allowlist(source)
        count = f"{len(ranges):,} ranges" if ranges else "no range at all, which ends the last one"
        control = AllowlistChange(now_ms(), ranges)
        return self._send(load(self.config), "allowlist", control, f"allowlist of {count}")

    def asn_table(self) -> int:
        """Send the digest of the ASN table that the settings name."""
        settings = load(self.config)
        if not settings.detect.asn_tables:
            raise UsageError(
                "detect.asn_tables: not among the tables there: a detector could not find it"
            )
        table = load_asn_files(settings.detect.asn_tables)
        for problem in table.problems:
            say(f"left out: {problem}")
        control = AsnTableChange(now_ms(), table.digest)
        return self._send(settings, "asn-table", control, f"ASN table {table.digest[:12]}")

    def action(self, action: str, address: str) -> int:
        """Remove or release an address."""
        subject = subject_of(address)
        return self._operate(action, subject, f"{action} {subject}")

    def purge(self, what: str) -> int:
        """Remove all that a rule or a policy has listed."""
        return self._operate("purge", purge_argument(what), f"purge {what}")

    def gap(self, partition: int, first: int, last: int, *, sure: bool) -> int:
        """Declare tallies of a partition lost."""
        if last < first:
            raise UsageError(f"LAST: got {last}, must be at least FIRST ({first})")
        said = f"tallies {first} to {last} of partition {partition}"
        if not sure:
            raise UsageError(
                f"a gap declares {said} lost: their time counts as unobserved, and whichever of "
                "them comes after all is dropped: say --yes if that is so"
            )
        settings = load(self.config)
        count = ask(input_partitions(KafkaClients(settings.kafka)))
        if partition >= count:
            topic = settings.kafka.topics.input
            raise UsageError(f"PARTITION: got {partition}, topic {topic} has {count} from 0 on")
        return self._send(settings, "gap", Gap(partition, first, last), f"gap of {said}")

    def _operate(self, action: str, argument: str, said: str) -> int:
        request = f"op-{secrets.token_hex(6)}"
        control = OperatorAction(now_ms(), action, argument, request)
        return self._send(load(self.config), action, control, said)

    def _send(self, settings: LiveSettings, name: str, control: Operator, said: str) -> int:
        clients = KafkaClients(settings.kafka)
        sent = ask(send_control(clients, control, self.wait_s))
        request = control.request if isinstance(control, OperatorAction) else None
        if self.as_json:
            waited: dict[str, Any] = {
                "read": sent.read, "acted": sent.acted, "answers": list(sent.answers),
                "detectors": {name: asdict(heard) for name, heard in sent.detectors.items()},
            }  # fmt: skip
            body = {"control": name, "offset": sent.offset, "request": request}
            print_json(body | (waited if self.wait_s else {}))
        else:
            lines = [f"{said}: record {sent.offset} of {clients.log_topic}"]
            lines[0] += f", request {request}" if request else ""
            lines += [f"  {line}" for line in _told(control, sent, self.wait_s)]
            sys.stdout.write("\n".join(lines) + "\n")
        refused = any(answer["change"] == "refuse" for answer in sent.answers)
        waits_to_act = not isinstance(control, PolicyChange | AsnTableChange)
        silent = not sent.read or (waits_to_act and not sent.acted)
        return FAILED if refused or (self.wait_s and silent) else 0


def _unread(sent: Sent, wait_s: float) -> list[str]:
    """Name the detectors that did not read a control."""
    lines = [
        f"detector {escaped(name) or 'of an older version'}: last heard at "
        f"{rfc3339(heard.time_ms)}, when it had read the log up to record {heard.log_offset}"
        for name, heard in sent.detectors.items()
    ] or ["no detector has written to the listings lately"]
    lines.insert(0, f"no detector has read it within {wait_s:g} s")
    return [*lines, "start a detector (floodwatch run --role detect): it then applies the control"]


def _told(control: Operator, sent: Sent, wait_s: float) -> list[str]:
    """Report the outcome of a control."""
    answers = [
        f"{answer['subject']}: {answer['change']}, {answer['evidence'].get('reason', '')}"
        for answer in sent.answers
    ]
    if not wait_s:
        return ["sent; not waiting for an answer (--wait 0)"]
    if not sent.read:
        return [*answers, *_unread(sent, wait_s)]
    if isinstance(control, Gap):
        return ["a detector has read it"]
    assert sent.tick is not None  # noqa: S101 - known once it was read
    at = rfc3339(sent.tick * 1000)
    if isinstance(control, PolicyChange | AsnTableChange):
        return [f"a detector has read it: active from the end of {at} of event time"]
    if not sent.acted:
        said = f"a detector has read it and applies it when it closes {at} of event time"
        return [
            *answers,
            f"{said}, which was not reached within {wait_s:g} s: check that mail is arriving",
        ]
    if isinstance(control, AllowlistChange):
        return [f"active since the close of {at} of event time"]
    return answers or ["nothing matched"]
