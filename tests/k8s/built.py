"""The manifests as kustomize builds them."""

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from tests.services.missing import leave_out

__all__ = ["K8S", "OVERLAYS", "Object", "built", "pods", "rules"]

ROOT: Final = Path(__file__).resolve().parents[2]
K8S: Final = ROOT / "k8s"
OVERLAYS: Final = ("dev", "prod", "strimzi", "keda")

Object = dict[str, Any]


def _kustomize() -> str:
    made = ROOT / "build/k8s/kustomize"
    found = str(made) if os.access(made, os.X_OK) else shutil.which("kustomize")
    if found is None:
        leave_out("kustomize is not there: make build/k8s/ok")
    return found


@functools.cache
def _text(overlay: str) -> str:
    done = subprocess.run(
        [_kustomize(), "build", str(K8S / "overlays" / overlay)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def built(overlay: str) -> list[Object]:
    """All objects of an overlay."""
    return list(yaml.safe_load_all(_text(overlay)))


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """The kind and name of each workload, with its pod template."""
    for one in objects:
        name = f"{one['kind']}/{one['metadata']['name']}"
        match one["kind"]:
            case "Deployment" | "StatefulSet" | "Job":
                yield name, one["spec"]["template"]
            case "CronJob":
                yield name, one["spec"]["jobTemplate"]["spec"]["template"]


def rules() -> list[Object]:
    """The alert rules."""
    (found,) = (one for one in built("prod") if one["kind"] == "PrometheusRule")
    (group,) = found["spec"]["groups"]
    return list(group["rules"])


def metrics_in(query: str) -> set[str]:
    """The metrics of ours that a query names."""
    return set(re.findall(r"\bfloodwatch_[a-z_]+", query))
