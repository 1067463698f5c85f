"""The Kubernetes manifests as documents, and what must be true of them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
BASE = KUBERNETES / "base"
COMPONENTS = sorted(path.parent for path in KUBERNETES.glob("components/*/kustomization.yaml"))
WORKLOADS = {"Deployment", "StatefulSet"}
OF_OPERATORS = {"keda.sh/v1alpha1", "monitoring.coreos.com/v1"}
"""API groups that an operator brings along; the API's own schemas do not know them."""

Document = dict[str, Any]


def documents(text: str) -> list[Document]:
    """Return the documents of a YAML text."""
    return [document for document in yaml.safe_load_all(text) if document is not None]


def sources() -> Iterator[tuple[Path, Document]]:
    """Yield every document that a kustomization names as a resource, with its file."""
    for kustomization in KUBERNETES.rglob("kustomization.yaml"):
        for resource in yaml.safe_load(kustomization.read_text()).get("resources", []):
            path = kustomization.parent / resource
            if path.is_file():
                yield from ((path, document) for document in documents(path.read_text()))


def built(folder: Path) -> list[Document]:
    """Return what kustomize makes of a folder."""
    done = subprocess.run(["kustomize", "build", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def assert_valid(document: Document) -> None:
    """Fail where a document is not what the newest Kubernetes API known here takes, to the last field."""
    if document["apiVersion"] not in OF_OPERATORS:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def workloads(manifests: list[Document]) -> list[Document]:
    """Return the documents that run pods."""
    return [document for document in manifests if document["kind"] in WORKLOADS]


def pod_of(workload: Document) -> Document:
    """Return the specification of a workload's pods."""
    pod: Document = workload["spec"]["template"]["spec"]
    return pod


def assert_references_resolve(manifests: list[Document], *, given: set[tuple[str, str]]) -> None:
    """Fail where something is named that neither stands among the manifests nor is `given`, by kind and name."""
    known = {(document["kind"], document["metadata"]["name"]) for document in manifests} | given
    for workload in workloads(manifests):
        pod = pod_of(workload)
        missing = set(_named_by(pod, workload)) - known
        assert not missing, f"{workload['metadata']['name']} names {missing}"
        volumes = {volume["name"] for volume in pod["volumes"]}
        volumes |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    for document in manifests:
        _assert_selects(document, manifests)


def _named_by(pod: Document, workload: Document) -> Iterator[tuple[str, str]]:
    yield "ServiceAccount", pod["serviceAccountName"]
    if "serviceName" in workload["spec"]:
        yield "Service", workload["spec"]["serviceName"]
    for container in pod["containers"]:
        for source in container["envFrom"]:
            if "configMapRef" in source:
                yield "ConfigMap", source["configMapRef"]["name"]
            elif not source["secretRef"].get("optional"):
                yield "Secret", source["secretRef"]["name"]
    for volume in pod["volumes"]:
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"]


def _assert_selects(document: Document, manifests: list[Document]) -> None:
    """Fail where a Service, a budget, a scaler or a policy is about nothing."""
    spec, pods = document.get("spec", {}), workloads(manifests)
    labels = [workload["spec"]["template"]["metadata"]["labels"] for workload in pods]
    names = {(workload["kind"], workload["metadata"]["name"]) for workload in pods}
    match document["kind"]:
        case "Service":
            wanted = spec["selector"]
            ports = {port["name"] for pod in pods for c in pod_of(pod)["containers"] for port in c["ports"]}
            assert {port["targetPort"] for port in spec["ports"]} <= ports
        case "PodDisruptionBudget" | "PodMonitor":
            wanted = spec["selector"]["matchLabels"]
        case "NetworkPolicy":
            wanted = spec["podSelector"].get("matchLabels", {})
        case "HorizontalPodAutoscaler" | "ScaledObject":
            target = spec["scaleTargetRef"]
            assert (target.get("kind", "Deployment"), target["name"]) in names
            return
        case _:
            return
    assert any(wanted.items() <= of_pod.items() for of_pod in labels), f"{document['metadata']} selects no pod"
