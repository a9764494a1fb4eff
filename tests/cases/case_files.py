"""Cases: what a site logs, and what a replay must find in it.

Each folder here is a case. `case.toml` holds `why` (one sentence: what the site logs), `args`
(options of the replay; `{folder}` is that of the case), the integers `events`, `floods`, `listed`,
`skipped`, and `exit` where it is not 0, with a part of what it `says` then. The input is every file
`input*` beside it, or what `lines()` of `make.py` gives.

`python -m tests.cases.case_files` writes the table of the cases into the parsers' README.
"""

import importlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["README", "Case", "cases", "with_table"]

CASES: Final = Path(__file__).parent
README: Final = CASES.parents[1] / "pipelines/parsers/README.md"
_BEGIN, _END = "<!-- cases -->\n", "<!-- end of cases -->\n"


@dataclass(frozen=True, slots=True)
class Case:
    """One case; `args` are options of `floodwatch replay`."""

    name: str
    why: str
    events: int
    floods: int
    listed: int
    skipped: int
    args: tuple[str, ...] = ()
    exit: int = 0
    says: str = ""

    @classmethod
    def load(cls, folder: Path) -> "Case":
        """Read the case of a folder."""
        said = tomllib.loads((folder / "case.toml").read_text())
        args = tuple(one.replace("{folder}", str(folder)) for one in said.get("args", ()))
        return cls(folder.name, **said | {"args": args})

    def inputs(self, empty: Path) -> list[Path]:
        """Give the input files; made ones are written into the folder `empty`."""
        made = CASES / self.name / "make.py"
        if not made.exists():
            return sorted((CASES / self.name).glob("input*"))
        module = importlib.import_module(f"tests.cases.{self.name}.make")
        path = empty / "input.log"
        path.write_bytes(b"".join(line + b"\n" for line in module.lines()))
        return [path]


def cases() -> list[Case]:
    """Give all cases, by name."""
    return [Case.load(path.parent) for path in sorted(CASES.glob("*/case.toml"))]


def table() -> str:
    """Give the cases as a table in Markdown."""
    rows = [
        "| case | what the site logs | events | floods | skipped lines |",
        "|---|---|--:|--:|--:|",
    ]
    rows += [
        f"| `{one.name}` | {one.why} | {one.events:,} | {one.floods:,} | {one.skipped:,} |"
        for one in cases()
    ]
    return "\n".join(rows) + "\n"


def with_table(page: str) -> str:
    """Give a page with the table of now between its marks."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return before + _BEGIN + table() + _END + after


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
