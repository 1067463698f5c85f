"""The Kubernetes manifests: valid, whole, safe, and about the platform that the code is."""

import importlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.bus.memory import MemoryBus
from shared.contracts.topics import BY_NAME
from shared.runtime.clock import SystemClock
from shared.runtime.loop import Loop
from shared.store.memory import MemoryStore
from tests.deploy.binaries import needs
from tests.deploy.manifests import (
    BASE,
    COMPONENTS,
    KUBERNETES,
    ROOT,
    Document,
    assert_references_resolve,
    assert_valid,
    built,
    pod_of,
    sources,
    workloads,
)

SERVICES = sorted(path.parent.name for path in ROOT.glob("services/*/app.py"))
SECRETS = {("Secret", "headrace-keys"), ("Secret", "headrace-tls")}
"""What the operator makes, as docs/kubernetes.md says."""
SOURCES = [document for _, document in sources()]


def settings_of(service: str) -> set[str]:
    module = importlib.import_module(f"services.{service}.settings")
    (settings,) = [
        value
        for name, value in vars(module).items()
        if name.lower() == f"{service}settings" and isinstance(value, type)
    ]
    return {name.upper() for name in settings.model_fields}  # type: ignore[attr-defined]


def partitions() -> int:
    (line,) = re.findall(r"^HEADRACE_TOPIC_PARTITIONS=(\d+)$", (BASE / "settings.env").read_text(), re.MULTILINE)
    return int(line)


@pytest.mark.parametrize(
    "found", list(sources()), ids=lambda found: f"{found[0].name}-{found[1]['kind']}-{found[1]['metadata']['name']}"
)
def test_every_document_is_what_the_api_takes(found: tuple[Path, Document]) -> None:
    assert_valid(found[1])


def test_a_field_the_api_does_not_know_would_be_noticed() -> None:
    (service, *_) = [document for document in SOURCES if document["kind"] == "Service"]
    with pytest.raises(Exception, match="targetPrt"):
        assert_valid({**service, "spec": {**service["spec"], "targetPrt": 1}})


def test_every_service_runs_from_the_image_of_this_release() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = {
        workload["metadata"]["name"]: pod_of(workload)["containers"][0]["image"] for workload in workloads(SOURCES)
    }
    assert images == {service: f"headrace/{service}:{version}" for service in SERVICES}
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert images == {service: compose[service]["image"] for service in SERVICES}


def test_only_settings_that_every_service_has_are_set_for_all() -> None:
    names = {line.split("=")[0] for line in (BASE / "settings.env").read_text().splitlines()}
    manifests = [path for path in KUBERNETES.rglob("*.yaml") if path.name != "prometheus-rule.yaml"]
    text = "".join(path.read_text() for path in manifests)
    names |= set(re.findall(r"\b(?:HEADRACE|KAFKA|REDIS|MLFLOW)_[A-Z_]+\b", text))
    own = {w["metadata"]["name"]: pod_of(w)["containers"][0].get("env", []) for w in workloads(SOURCES)}
    for_one = {
        service: {entry["name"] for entry in entries} - {"JOBLIB_TEMP_FOLDER"} for service, entries in own.items()
    }
    for service in SERVICES:
        assert for_one[service] <= settings_of(service)
        assert names - set().union(*for_one.values()) <= settings_of(service), f"{service} has no such setting"


def test_services_that_keep_something_keep_it_under_their_own_name() -> None:
    kept = {w["metadata"]["name"]: "volumeClaimTemplates" in w["spec"] for w in workloads(SOURCES)}
    assert kept == {"drift": True, "features": False, "ingest": False, "scoring": True, "training": True}
    replicas = {w["metadata"]["name"]: (w["kind"], w["spec"]["replicas"]) for w in workloads(SOURCES)}
    assert replicas["training"] == replicas["drift"] == ("StatefulSet", 1), "one process each"
    assert replicas["features"][0] == replicas["scoring"][0] == "StatefulSet", "members of a group keep their names"


def loops(service: str) -> dict[str, tuple[str, ...]]:
    """Return the topics of each consumer group of a service, as it is wired."""
    app = importlib.import_module(f"services.{service}.app")
    module: Any = importlib.import_module(f"services.{service}.settings")
    settings = getattr(module, f"{service.capitalize()}Settings")()
    built_service = app.build(settings, MemoryBus(partitions=1), MemoryStore(SystemClock()), SystemClock())
    found = {worker.group: worker._topics for worker in built_service.workers if isinstance(worker, Loop)}
    for close in built_service.closers:
        close()
    return found


def test_services_are_scaled_by_groups_and_topics_that_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path))
    scaled = [document for document in SOURCES if document["kind"] == "ScaledObject"]
    triggers = [
        (document["spec"]["scaleTargetRef"]["name"], trigger["metadata"])
        for document in scaled
        for trigger in document["spec"]["triggers"]
        if trigger["type"] == "kafka"
    ]
    assert {name for name, _ in triggers} == {"features", "scoring"}
    for name, about in triggers:
        assert about["topic"] in loops(name)[about["consumerGroup"]]
        assert BY_NAME[about["topic"]].ordered_by_entity, "it has more than one partition"
        assert about["bootstrapServersFromEnv"] in settings_of(name)


def test_no_more_replicas_than_partitions() -> None:
    limits = [d["spec"]["maxReplicaCount"] for d in SOURCES if d["kind"] == "ScaledObject"]
    limits += [d["spec"]["maxReplicas"] for d in SOURCES if d["kind"] == "HorizontalPodAutoscaler"]
    assert len(limits) == 6
    assert max(limits) <= partitions()


def combined(tmp_path: Path, component: Path) -> Path:
    """Return a folder that kustomize builds the base with one component from."""
    folder = tmp_path / "deploy"
    folder.mkdir()
    (folder / "kubernetes").symlink_to(KUBERNETES)
    overlay = folder / "overlay"
    overlay.mkdir()
    names = {"resources": ["../kubernetes/base"], "components": [f"../kubernetes/components/{component.name}"]}
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(names))
    return overlay


@needs("kustomize")
@pytest.mark.parametrize("folder", [BASE, KUBERNETES / "overlays" / "example", *COMPONENTS], ids=lambda path: path.name)
def test_what_is_built_is_valid_whole_and_safe(folder: Path, tmp_path: Path) -> None:
    manifests = built(combined(tmp_path, folder) if folder in COMPONENTS else folder)
    for document in manifests:
        assert_valid(document)
    assert_references_resolve(manifests, given=SECRETS)
    assert sorted(workload["metadata"]["name"] for workload in workloads(manifests)) == SERVICES
    for workload in workloads(manifests):
        assert_safe(pod_of(workload))


def assert_safe(pod: Document) -> None:
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["terminationGracePeriodSeconds"] > 30
    for container in pod["containers"]:
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False
        assert own["readOnlyRootFilesystem"] is True
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()
        assert container["livenessProbe"]["httpGet"]["path"] == "/health/live", (
            "a neighbour that is away ends no process"
        )
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]


@needs("kustomize")
def test_an_autoscaler_has_the_replicas_to_itself(tmp_path: Path) -> None:
    (component,) = [path for path in COMPONENTS if path.name == "keda"]
    scaled = {"ingest", "features", "scoring"}
    fixed = {w["metadata"]["name"] for w in workloads(built(combined(tmp_path, component))) if "replicas" in w["spec"]}
    assert fixed == set(SERVICES) - scaled


@needs("kustomize")
def test_with_tls_the_probes_speak_it(tmp_path: Path) -> None:
    (component,) = [path for path in COMPONENTS if path.name == "tls"]
    for workload in workloads(built(combined(tmp_path, component))):
        (container,) = pod_of(workload)["containers"]
        assert {
            container[probe]["httpGet"]["scheme"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")
        } == {"HTTPS"}
        assert {"HEADRACE_TLS_CERTIFICATE_FILE", "HEADRACE_TLS_KEY_FILE"} <= {
            entry["name"] for entry in container["env"]
        }
