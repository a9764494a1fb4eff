"""`floodwatch --version`: which version this is, and of which commit where that is known."""

import json
import os
from collections.abc import Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution

__all__ = ["version_line"]

_COMMIT = "FLOODWATCH_COMMIT"
"""Set in an image that was built from a commit."""
_SHOWN = 12


def version_line(environ: Mapping[str, str] = os.environ) -> str:
    """Give `floodwatch VERSION`, with the commit that pip or an image noted."""
    try:
        package = distribution("floodwatch")
    except PackageNotFoundError:
        return "floodwatch, version unknown: it runs from a folder where it is not installed"
    commit = environ.get(_COMMIT, "") or _installed_commit(package)
    return f"floodwatch {package.version}" + (f" (commit {commit[:_SHOWN]})" if commit else "")


def _installed_commit(package: Distribution) -> str:
    """Give the commit that pip has installed from, empty for a release or a folder (PEP 610)."""
    try:
        noted = json.loads(package.read_text("direct_url.json") or "{}")
    except ValueError:
        return ""
    return str(noted.get("vcs_info", {}).get("commit_id", ""))
