import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from pipelines.kafka.clients import KafkaClients
from pipelines.kafka.topics import planned_topics
from pipelines.settings.config_file import load_policy
from pipelines.settings.file import PREFIX, load_settings
from pipelines.settings.model import LiveSettings
from tests.k8s.built import K8S, OVERLAYS, Object, built, pods

CUSTOM = {
    "KafkaTopic", "KafkaUser", "PodMonitor", "PrometheusRule", "ScaledObject",
    "TriggerAuthentication",
}  # fmt: skip
VERSIONS = ("1.32", "1.37")
every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def containers(template: Object) -> Iterator[Object]:
    yield from template["spec"].get("initContainers", [])
    yield from template["spec"]["containers"]


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [one for one in objects if one["kind"] == kind]


def config_maps(objects: list[Object]) -> dict[str, dict[str, str]]:
    return {one["metadata"]["name"]: one["data"] for one in of_kind(objects, "ConfigMap")}


@pytest.mark.parametrize("version", VERSIONS)
@every_overlay
def test_every_object_has_only_fields_that_kubernetes_knows(overlay: str, version: str) -> None:
    for one in built(overlay):
        if one["kind"] not in CUSTOM:
            kubernetes_validate.validate(one, version, strict=True)


def test_a_misspelt_field_is_found() -> None:
    one = of_kind(built("prod"), "StatefulSet")[0]
    one["spec"]["template"]["spec"]["terminationGracePeriodSecond"] = 30
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(one, VERSIONS[0], strict=True)


@every_overlay
def test_every_pod_keeps_to_the_restricted_pod_security_standard(overlay: str) -> None:
    for name, template in pods(built(overlay)):
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), name
        assert not any("hostPath" in volume for volume in pod.get("volumes", [])), name
        for container in containers(template):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            ours = "floodwatch" in container["image"]
            assert context.get("readOnlyRootFilesystem", False) is ours, name


@every_overlay
def test_every_container_says_what_it_needs(overlay: str) -> None:
    for name, template in pods(built(overlay)):
        for container in containers(template):
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert "memory" in container["resources"]["limits"], name


@every_overlay
def test_long_running_containers_are_probed(overlay: str) -> None:
    for name, template in pods(built(overlay)):
        if not name.startswith(("Deployment/floodwatch", "StatefulSet")):
            continue
        for container in template["spec"]["containers"]:
            assert {"livenessProbe", "readinessProbe"} <= set(container), name
            if container["name"] != "rbldnsd":
                assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
                assert container["startupProbe"]["httpGet"]["path"] == "/livez"
                assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def settings_of(overlay: str, tmp_path: Path) -> Iterator[tuple[str, Object, LiveSettings]]:
    """Each pod that reads live.toml, with the settings that it gets."""
    objects = built(overlay)
    maps = config_maps(objects)
    for name, template in pods(objects):
        for container in template["spec"]["containers"]:
            sources = [one["configMapRef"]["name"] for one in container.get("envFrom", [])]
            if not sources:
                continue
            environ = {key: value for source in sources for key, value in maps[source].items()}
            for one in container.get("env", []):
                environ[one["name"]] = one["value"]
            volumes = {one["name"]: one for one in template["spec"]["volumes"]}
            file = tmp_path / "live.toml"
            file.write_text(maps[volumes["settings"]["configMap"]["name"]]["live.toml"])
            yield name, template, load_settings(file, environ)


@every_overlay
def test_the_product_reads_its_settings(overlay: str, tmp_path: Path) -> None:
    seen = 0
    for name, template, settings in settings_of(overlay, tmp_path):
        seen += 1
        mounts = {
            mount["mountPath"]
            for container in template["spec"]["containers"]
            for mount in container["volumeMounts"]
        }
        secret = settings.kafka.sasl.password_file
        assert secret is None or str(secret.parent) in mounts, name
        assert settings.web.port == 8080
        assert settings.detect.policy is not None
        assert str(settings.detect.policy.parent) in mounts, name  # every role reads it
        if name.startswith("StatefulSet"):
            assert settings.detect.asn_tables
            paths = [settings.detect.snapshot, *settings.detect.asn_tables]
            assert {str(path.parent) for path in paths} <= mounts
        if not name.startswith("CronJob"):
            assert template["spec"]["terminationGracePeriodSeconds"] > settings.shutdown_s + 10
        if "publish" in name:
            assert settings.store.url.startswith(("redis://", "rediss://"))
            secret = settings.store.password_file
            assert secret is None or str(secret.parent) in mounts
    assert seen == 4 + 3


@every_overlay
def test_every_variable_of_ours_is_one_that_the_settings_know(overlay: str) -> None:
    env = next(m for name, m in config_maps(built(overlay)).items() if "floodwatch-env" in name)
    load_settings(None, {key: value for key, value in env.items() if key.startswith(PREFIX)})


@every_overlay
def test_the_policy_of_the_config_map_loads_and_publishes_nothing_yet(
    overlay: str, tmp_path: Path
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(config_maps(built(overlay))["floodwatch-policy"]["policy.toml"])
    assert load_policy(str(file)).mode == "shadow"


def test_every_command_and_option_exists() -> None:
    commands = set()
    for _, template in pods(built("prod")):
        for container in containers(template):
            if container["image"].split("/")[-1].startswith("floodwatch:"):
                words = container.get("args", [])
                if container.get("command") == ["sh", "-c"]:
                    words = words[0].split("floodwatch ", 1)[1].split()
                elif "command" in container:
                    continue
                commands.add(tuple(words))
    assert len(commands) == 9
    for words in commands:
        path = [word for word in words[:2] if word.isalpha() or word == "asn-table"]
        options = [word for word in words if word.startswith("--")]
        if path[0] not in {"control", "topics"}:
            path = path[:1]
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli", *path, "--help"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert [option for option in options if f"{option} " not in done.stdout] == []


def selected(selector: Object, labels: dict[str, str]) -> bool:
    expected = selector.get("matchLabels", {})
    return expected.items() <= labels.items() and all(
        labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", [])
    )


@every_overlay
def test_every_selector_finds_a_pod_and_every_named_port_is_there(overlay: str) -> None:
    objects = built(overlay)
    templates = [template for _, template in pods(objects)]
    for one in objects:
        spec: dict[str, Any] = one.get("spec", {})
        match one["kind"]:
            case "Service":
                selector, ports = {"matchLabels": spec["selector"]}, spec["ports"]
                ports = [port["targetPort"] for port in ports]
            case "PodDisruptionBudget" | "PodMonitor":
                selector = spec["selector"]
                ports = [one["port"] for one in spec.get("podMetricsEndpoints", [])]
            case "NetworkPolicy":
                selector = spec["podSelector"]
                ports = [
                    port["port"]
                    for rule in spec.get("ingress", [])
                    for port in rule.get("ports", [])
                ]
            case _:
                continue
        found = [t for t in templates if selected(selector, t["metadata"]["labels"])]
        assert found, one["metadata"]["name"]
        names = {
            port["name"]
            for template in found
            for container in template["spec"]["containers"]
            for port in container.get("ports", [])
        }
        assert set(ports) <= names, one["metadata"]["name"]
        for expression in selector.get("matchExpressions", []):
            key = expression["key"]
            assert set(expression["values"]) <= {t["metadata"]["labels"][key] for t in found}


@every_overlay
def test_every_config_map_that_a_pod_names_is_made(overlay: str) -> None:
    objects = built(overlay)
    for name, template in pods(objects):
        named = {
            volume["configMap"]["name"]
            for volume in template["spec"].get("volumes", [])
            if "configMap" in volume
        }
        assert named <= set(config_maps(objects)), name


def test_a_new_policy_restarts_no_detector() -> None:
    """Its ConfigMap has no hash in its name; that of the settings has one."""
    names = set(config_maps(built("prod")))
    assert "floodwatch-policy" in names
    assert not {"floodwatch-settings", "floodwatch-env"} & names


def test_topics_of_strimzi_are_as_the_product_wants_them(tmp_path: Path) -> None:
    _, _, settings = next(settings_of("strimzi", tmp_path))
    plain = settings.kafka.model_copy(update={"security": "plaintext"})

    async def planned() -> Any:
        return planned_topics(KafkaClients(plain))

    topics = {
        one["metadata"]["name"]: one["spec"] for one in of_kind(built("strimzi"), "KafkaTopic")
    }
    for plan in asyncio.run(planned()):
        spec = topics.pop(plan.name)
        wanted = dict(plan.exact) | {key: str(value) for key, value in plan.least.items()}
        assert {key: str(value) for key, value in spec["config"].items()} == wanted
        assert plan.partitions in {None, spec["partitions"]}
    assert topics == {}


def test_each_role_has_a_user_in_strimzi() -> None:
    objects = built("strimzi")
    users = {one["metadata"]["name"] for one in of_kind(objects, "KafkaUser")}
    used = {
        one["value"]
        for _, template in pods(objects)
        for container in containers(template)
        for one in container.get("env", [])
        if one["name"] == "FLOODWATCH__KAFKA__SASL__USER"
    }
    assert used == users


def test_keda_never_asks_for_more_ingest_than_partitions() -> None:
    objects = built("keda")
    (scaled,) = of_kind(objects, "ScaledObject")
    (topic,) = (one for one in of_kind(built("strimzi"), "KafkaTopic") if "mail" in str(one))
    (trigger,) = scaled["spec"]["triggers"]
    assert scaled["spec"]["maxReplicaCount"] == topic["spec"]["partitions"]
    assert trigger["metadata"]["topic"] == topic["metadata"]["name"]
    target = scaled["spec"]["scaleTargetRef"]["name"]
    (deployment,) = (o for o in of_kind(objects, "Deployment") if o["metadata"]["name"] == target)
    assert "replicas" not in deployment["spec"]


def test_no_password_stands_in_the_folder() -> None:
    kinds = {one["kind"] for overlay in ("prod", "strimzi", "keda") for one in built(overlay)}
    assert "Secret" not in kinds
    assert "password" in (K8S / "overlays/keda/scaling.yaml").read_text()


@every_overlay
def test_volumes_and_mounts_are_named_once_and_belong_together(overlay: str) -> None:
    for name, template in pods(built(overlay)):
        volumes = [one["name"] for one in template["spec"].get("volumes", [])]
        made = [
            one["metadata"]["name"]
            for owner in of_kind(built(overlay), "StatefulSet")
            for one in (
                owner["spec"]["volumeClaimTemplates"] if name.startswith("Stateful") else []
            )
        ]
        assert len(set(volumes)) == len(volumes), name
        mounted = set()
        for container in containers(template):
            mounts = container.get("volumeMounts", [])
            paths = [mount["mountPath"] for mount in mounts]
            assert len(set(paths)) == len(paths), name
            mounted |= {mount["name"] for mount in mounts}
        assert mounted == {*volumes, *made}, name
