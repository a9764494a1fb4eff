"""Download the table of networks and put it in place once floodwatch can read it.

Run in a container: `fetch_asn_table.py --if-missing` leaves a table that is there,
`--replace` keeps the old one beside the new one as `.previous`.
"""

import os
import shutil
import sys
import tempfile
import urllib.request
from pathlib import Path

from detector.errors import AsnTableError
from pipelines.tables.asn_file import load_asn_files


def fetch(url: str, target: Path, *, replace: bool) -> str:
    """Give in words what was done.

    Raises:
        AsnTableError: the download is not a usable table; the old one stays.
        OSError: the download failed.
    """
    if target.exists() and not replace:
        return f"{target}: already there, kept"
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        new = Path(folder, target.name)
        with urllib.request.urlopen(url, timeout=60) as answer, new.open("wb") as file:  # noqa: S310
            shutil.copyfileobj(answer, file)
        load_asn_files([new])
        if not replace:
            try:
                target.hardlink_to(new)  # another copy that starts now may have been faster
            except FileExistsError:
                return f"{target}: already there, kept"
            return f"{target}: downloaded from {url}"
        if target.exists():
            target.replace(target.with_name(f"{target.name}.previous"))
        new.replace(target)
        return f"{target}: replaced from {url}"


def main(mode: str) -> int:
    """Fetch as the environment says; give the exit code."""
    url = os.environ.get("ASN_TABLE_URL", "")
    target = Path(os.environ.get("ASN_TABLE", "/var/lib/asn-table/ip2asn.tsv.gz"))
    if mode not in {"--if-missing", "--replace"}:
        print(f"got {mode!a}, must be --if-missing or --replace", file=sys.stderr)
        return 2
    try:
        print(fetch(url, target, replace=mode == "--replace"))
    except (AsnTableError, OSError, ValueError) as error:
        print(
            f"ASN table from {url!a}: {error}; set ASN_TABLE_URL in floodwatch-env", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:2] or [""])))
