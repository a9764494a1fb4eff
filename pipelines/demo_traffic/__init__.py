"""The bundled demonstration: eight hours of a real Postfix's log, and the ASN table of its world.

The traffic is simulated, its log is not: every message went through Postfix on loopback, and the
lines were then moved to the traffic's own times. The first flood comes after an hour and a half.
What was in it is written down under `tests/golden/demo`, where nothing but the tests looks. It was
made by

    python -m pipelines.simulate DIR --seed 157 --events 30500 --hours 8 --shapes direct,botnet,\
list_bomb,list_bomb_slow,snowshoe,pulse,ipv6_rotation,slow_ramp,distributed,busy_victim,\
provider_pool --postfix rfc3339 --gzip
"""

from pathlib import Path
from typing import Final

__all__ = ["ASN_TABLE", "MAIL_LOG"]

_FOLDER: Final = Path(__file__).parent

MAIL_LOG: Final = _FOLDER / "mail.log.gz"
"""The raw log, compressed; times in RFC 3339."""

ASN_TABLE: Final = _FOLDER / "asn.tsv.gz"
"""Ranges of addresses with their AS: `start end asn cc name`, compressed."""
