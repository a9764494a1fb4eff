"""Invented names for domains and people; all domains end in reserved labels (RFC 2606)."""

from typing import Final

import numpy as np
from numpy.random import Generator

__all__ = ["FIRST_NAMES", "ROLES", "Namer", "local_parts", "tokens"]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_LEFT: Final = _words(
    "alpen amber anker aspen atlas aurora bergson birch blue bravo brook cedar cirrus clover "
    "cobalt coral crest delta dorn eagle ember falken fern fjord flint forst garten gold "
    "granit grove hafen harbor hazel heide helio hill indigo iris iron jade juniper kastell "
    "kiefer lago lark linden lumen maple meadow mistral mond nord nova oak ocean onyx opal "
    "orion ost pine polar prisma quarz quill rapid raven ridge river robin sage salz silver "
    "sommer stein stone summit sued tal terra tide tulip union vale vega violet wald west "
    "willow winter zephyr zinn"
)
_RIGHT: Final = _words(
    "agrar akademie art auto bank bau bikes books buero care clinic cloud coffee consult data "
    "dental design druck energie event farm film finanz fit food forum garage games health "
    "hof hosting hotel immo jobs kanzlei kontor labs law learn logistik markt media metall "
    "mode motors museum musik net office optik parts pharma photo praxis press print radio "
    "reisen schule shop soft sport studio supply systems tech textil tours trade travel "
    "verein verlag wear werk wine wood works"
)
_TOPS: Final = ("example", "test", "invalid", "com.example", "co.test", "de.example", "net.test")
FIRST_NAMES: Final = _words(
    "alex amir ana anna anton aya ben bianca carla chen claire dana david elena emil emma "
    "erik eva fatima felix finn frida georg greta hana hanna hugo ida ines ivan jan jana "
    "jonas julia karim karl kim lara laura lea leon lena lina luca lucas mara maria marta max "
    "mehmet mia mila mira nina noah nora olga omar oskar otto paul petra pia priya rafael "
    "rosa ruth sam sara selma simon sofia sven tara theo tim tom ulla vera viktor wei yara "
    "yusuf zoe"
)
_LAST: Final = _words(
    "abel adam bauer beck berg brandt costa diaz ebert fischer fuchs gomez graf gross haas "
    "hahn hansen hoffmann huber ivanov jansen jung kaya keller klein koch kovac kraus lang "
    "lehmann lopez ludwig maier martin meyer moreno moser mueller nagy neumann novak olsen "
    "otto park patel peters petrov pohl roth rossi sato sauer schmidt schulz silva simon "
    "singh stark steiner suzuki tanaka thomas toth vogel wagner walter weber winkler wolf "
    "yilmaz zimmer"
)
ROLES: Final = _words(
    "info office sales support contact hello billing jobs press team admin service shop orders mail"
)


class Namer:
    """Gives domain names that were not given before."""

    def __init__(self, rng: Generator) -> None:
        self._rng = rng
        self._given: set[str] = set()

    def domains(self, count: int, top: str | None = None) -> list[str]:
        """Give `count` new domains, under `top` where one is named."""
        rng, given = self._rng, self._given
        left = rng.integers(len(_LEFT), size=count).tolist()
        right = rng.integers(len(_RIGHT), size=count).tolist()
        tops = rng.integers(len(_TOPS), size=count).tolist()
        joint = rng.integers(4, size=count).tolist()
        found = []
        for a, b, t, j in zip(left, right, tops, joint, strict=True):
            ending = top or _TOPS[t]
            stem = f"{_LEFT[a]}{'-' if j else ''}{_RIGHT[b]}"
            name, number = f"{stem}.{ending}", 1
            while name in given:
                number += int(rng.integers(1, 90))
                name = f"{stem}{number}.{ending}"
            given.add(name)
            found.append(name)
        return found


def local_parts(rng: Generator, count: int) -> list[str]:
    """Give `count` local parts of people and roles, repeats possible."""
    first = rng.integers(len(FIRST_NAMES), size=count).tolist()
    last = rng.integers(len(_LAST), size=count).tolist()
    role = rng.integers(len(ROLES), size=count).tolist()
    style = rng.integers(20, size=count).tolist()
    number = rng.integers(1950, 2012, size=count).tolist()
    found = []
    for f, n, r, s, y in zip(first, last, role, style, number, strict=True):
        if s < 2:  # noqa: PLR2004
            found.append(ROLES[r])
        elif s < 10:  # noqa: PLR2004
            found.append(f"{FIRST_NAMES[f]}.{_LAST[n]}")
        elif s < 14:  # noqa: PLR2004
            found.append(f"{FIRST_NAMES[f][0]}.{_LAST[n]}")
        elif s < 17:  # noqa: PLR2004
            found.append(f"{FIRST_NAMES[f]}{_LAST[n]}{y % 100:02d}")
        else:
            found.append(FIRST_NAMES[f])
    return found


def tokens(rng: Generator, count: int, length: int = 10) -> list[str]:
    """Give `count` random texts of lower-case letters and digits."""
    letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz0123456789", dtype="S1")
    drawn = letters[rng.integers(len(letters), size=(count, length))]
    return [row.tobytes().decode() for row in drawn]
