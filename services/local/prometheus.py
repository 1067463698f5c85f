"""A Prometheus of one's own on the loopback interface, with the jobs and the rules that are deployed."""

import copy
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml

from services.local.ports import LOOPBACK
from services.local.processes import ROOT, SupervisedProcess
from services.local.replicas import replicas_of

CONFIGURATION = ROOT / "deploy" / "prometheus" / "prometheus.yml"
_PROBE_SECONDS_MAX = 1.0
_OWN_NAME = "prometheus"


def find_prometheus() -> Path | None:
    """Return the `prometheus` on the PATH; None where there is none."""
    on_path = shutil.which("prometheus")
    return None if on_path is None else Path(on_path)


class PrometheusServer(SupervisedProcess):
    """Scrapes the services of a platform; its data and its configuration are in `folder`."""

    def __init__(
        self,
        folder: Path,
        *,
        binary: Path,
        port: int,
        services: Mapping[str, str],
        log_path: Path,
        interval_seconds: int | None = None,
    ) -> None:
        """Describe the server; `folder` is absolute and made where it is missing.

        services: base URL by process; replicas of a service are told apart by their names.
        interval_seconds: between scrapes, and between evaluations of the rules; None for what is deployed.
        """
        self._folder = folder
        self.url = f"http://{LOOPBACK}:{port}"
        addresses = {name: urlsplit(url).netloc for name, url in services.items()}
        deployed = yaml.safe_load(CONFIGURATION.read_text())
        self._configuration = localised(deployed, {**addresses, _OWN_NAME: f"{LOOPBACK}:{port}"}, interval_seconds)
        command = [
            str(binary),
            f"--config.file={self._file}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={LOOPBACK}:{port}",
        ]
        super().__init__(_OWN_NAME, command, log_path=log_path, environment=os.environ, problem=self._unreachable)

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file.write_text(yaml.safe_dump(self._configuration))
        super().start()

    @property
    def _file(self) -> Path:
        return self._folder / "prometheus.yml"

    def _unreachable(self) -> str | None:
        try:
            answer = httpx.get(f"{self.url}/-/ready", timeout=_PROBE_SECONDS_MAX)
        except httpx.HTTPError as error:
            return f"{self.url} does not answer: {error}"
        return None if answer.is_success else f"{self.url}: {answer.text.strip()}"


def localised(deployed: dict[str, Any], addresses: Mapping[str, str], interval_seconds: int | None) -> dict[str, Any]:
    """Return a deployed configuration with what it names where it answers on this machine.

    A target keeps its name and its labels, and is asked at its address; what has no address here is left out.

    addresses: host and port by process; a target of a service stands for all of its processes.
    """
    local = copy.deepcopy(deployed)
    local["rule_files"] = [str(CONFIGURATION.parent / name) for name in local.get("rule_files", [])]
    if interval_seconds is not None:
        interval = f"{interval_seconds}s"
        local["global"] |= {"scrape_interval": interval, "evaluation_interval": interval, "scrape_timeout": interval}
    jobs = local["scrape_configs"]
    local["scrape_configs"] = [job for job in jobs if _localise(job, addresses)]
    alertmanagers = local.get("alerting", {}).get("alertmanagers", [])
    if not [each for each in alertmanagers if _localise(each, addresses)]:
        local.pop("alerting", None)
    return local


def _localise(job: dict[str, Any], addresses: Mapping[str, str]) -> bool:
    """Point a job, in place, to what has an address; tell whether anything of it has."""
    moved: dict[str, str] = {}
    for group in job["static_configs"]:
        targets = {
            f"{process}:{port}": addresses[process]
            for host, _, port in (target.partition(":") for target in group["targets"])
            for process in replicas_of(host, addresses)
        }
        group["targets"] = list(targets)
        moved |= targets
    # Last, so that what is deployed gives every target its labels by its own name.
    job["relabel_configs"] = [
        *job.get("relabel_configs", []),
        *(
            {"source_labels": ["__address__"], "regex": target, "replacement": address, "target_label": "__address__"}
            for target, address in moved.items()
        ),
    ]
    return bool(moved)
