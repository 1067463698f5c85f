"""docker-compose.yml: by the Compose specification, by our own rules, and by what the rest of the tree says."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from typer.main import get_command

from services.cli.__main__ import app
from services.drift.settings import DriftSettings
from services.features.settings import FeaturesSettings
from services.ingest.settings import IngestSettings
from services.local.addresses import PREFERRED_PORTS
from services.local.discovery import url_variable
from services.scoring.settings import ScoringSettings
from services.training.settings import TrainingSettings
from tests.deploy.binaries import REASON

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy/docker/Dockerfile").read_text()
SERVICES = sorted(path.parent.name for path in ROOT.glob("services/*/app.py"))
ENDS = {"grafana-password"}
"""What does its work once, before another starts."""
WRITABLE = {"kafka"}
"""Whose image cannot do with a file system that is read only; the file says why."""
UNASKED = {*ENDS, "simulator"}
"""What offers nothing by which its health could be asked."""
SETTINGS = (IngestSettings, FeaturesSettings, ScoringSettings, TrainingSettings, DriftSettings)

containers = pytest.mark.parametrize("name", CONTAINERS)


def accept(compose: dict[str, Any]) -> None:
    parsed = PyCompose.from_json(json.dumps(compose))
    parsed.validate()
    parsed.to_spec()


def test_the_specification_accepts_the_file() -> None:
    accept(COMPOSE)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("restrt", "always", "restrt"),
        ("mem_limit", "lots", "lots"),
        ("depends_on", {"kafka": {"condition": "service_healty"}}, "service_healty"),
    ],
)
def test_the_specification_refuses_what_compose_would_not_read(key: str, value: object, told: str) -> None:
    wrong = json.loads(json.dumps(COMPOSE))
    wrong["services"]["ingest"][key] = value
    with pytest.raises(ValueError, match=told):
        accept(wrong)


def compose_command() -> list[str] | None:
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is None:
            continue
        if subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0:
            return command
    return None


@pytest.mark.skipif(compose_command() is None, reason=f"{REASON}docker compose: docs.docker.com/compose/install")
@pytest.mark.parametrize("profile", [[], ["--profile", "demo"]])
def test_compose_itself_accepts_the_file(profile: list[str]) -> None:
    command = compose_command()
    assert command is not None
    file = ["-f", str(ROOT / "docker-compose.yml")]
    subprocess.run([*command, *file, *profile, "config", "--quiet"], check=True, capture_output=True, text=True)


def test_every_service_is_deployed_and_waits_for_its_neighbours() -> None:
    assert SERVICES, "no service was found"
    assert {name for name in CONTAINERS if "SERVICE" in CONTAINERS[name].get("build", {}).get("args", {})} == {
        *SERVICES
    }
    for service in SERVICES:
        deployed = CONTAINERS[service]
        assert deployed["build"]["dockerfile"] == "deploy/docker/Dockerfile"
        assert deployed["build"]["args"] == {"SERVICE": service, "COMMIT": "${COMMIT:-}"}
        assert deployed["depends_on"] == {
            name: {"condition": "service_healthy"} for name in ("kafka", "redis", "mlflow")
        }
        assert deployed["ports"] == [f"127.0.0.1:{PREFERRED_PORTS[service]}:8000"]
        assert "headrace-home:/var/lib/headrace" in deployed["volumes"], "they share the registry and the keys"


def test_everything_waits_for_what_is_healthy_or_done() -> None:
    for name, container in CONTAINERS.items():
        for other, wait in container.get("depends_on", {}).items():
            done = "service_completed_successfully" if other in ENDS else "service_healthy"
            assert wait == {"condition": done}, f"{name} and {other}"
            assert not CONTAINERS[other].get("profiles"), f"{other} does not run by default"
    assert set(CONTAINERS["simulator"]["depends_on"]) == {"ingest", "scoring"}


def test_every_port_is_published_to_this_machine_only_and_stands_in_the_table() -> None:
    published = [port for container in CONTAINERS.values() for port in container.get("ports", [])]
    assert published
    assert [port for port in published if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)] == []
    host_ports = [int(port.split(":")[1]) for port in published]
    assert len(set(host_ports)) == len(host_ports)
    table = TEXT[: TEXT.index("\nname:")]
    assert {int(port) for port in re.findall(r":(\d{4})\b", table)} == set(host_ports)


@containers
def test_every_image_is_pinned_to_a_release(name: str) -> None:
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", CONTAINERS[name]["image"])


def test_the_images_of_ours_carry_the_version_of_the_project() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    for name, container in CONTAINERS.items():
        assert ("build" in container) == container["image"].startswith("headrace/"), name
        if "build" in container:
            assert container["image"] == f"headrace/{name}:{version[1]}"


def test_compose_runs_the_broker_that_make_demo_runs() -> None:
    pom = (ROOT / "deploy/kafka/pom.xml").read_text()
    version = re.search(r"<artifactId>kafka_2.13</artifactId>\s*<version>([^<]+)<", pom)
    assert version is not None
    assert CONTAINERS["kafka"]["image"] == f"apache/kafka:{version[1]}"


@containers
def test_no_container_may_more_than_it_needs(name: str) -> None:
    container = CONTAINERS[name]
    assert container["user"].split(":")[0] not in {"root", "0"}
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert not container.keys() & {"privileged", "cap_add", "devices", "pid", "ipc"}
    assert container["read_only"] is (name not in WRITABLE)
    assert container["mem_limit"]
    assert container["pids_limit"]
    assert container["logging"]["options"].keys() == {"max-size", "max-file"}, "logs would fill the disk"
    assert [mount for mount in container.get("volumes", []) if "docker.sock" in mount] == []


@containers
def test_it_comes_back_by_itself_and_can_be_asked_for_its_health(name: str) -> None:
    container = CONTAINERS[name]
    assert container["restart"] == ("no" if name in ENDS else "unless-stopped")
    check = container.get("healthcheck", {})
    if name in UNASKED:
        assert check == {"disable": True}
    elif name in SERVICES:
        assert check == {}, "the image's own check knows of TLS"
    else:
        assert check["test"]


@containers
def test_no_secret_stands_in_the_file(name: str) -> None:
    for variable, value in CONTAINERS[name].get("environment", {}).items():
        if re.search("PASSWORD|SECRET|TOKEN|API_KEY", variable):
            assert variable.endswith("__FILE"), variable
        assert not re.search(r"//[^/@]*:[^/@]*@", str(value)), f"{variable} holds credentials"


@containers
def test_what_it_mounts_exists_and_is_declared(name: str) -> None:
    for mount in CONTAINERS[name].get("volumes", []):
        source, target, *mode = mount.split(":")
        if source.startswith("."):
            assert (ROOT / source).exists()
            assert mode == ["ro"]
        else:
            assert source in COMPOSE["volumes"]
            if "build" in CONTAINERS[name]:
                owned = re.search(r"install --directory --owner=headrace .*", DOCKERFILE)
                assert owned is not None
                assert target in owned[0].split(), "a volume takes over the owner of the folder in the image"


def test_every_volume_is_used() -> None:
    mounted = {mount.split(":")[0] for container in CONTAINERS.values() for mount in container.get("volumes", [])}
    assert {source for source in mounted if not source.startswith(".")} == set(COMPOSE["volumes"])


def test_it_starts_without_an_env_file() -> None:
    assert re.findall(r"\$\{(?!\w+:-)[^}]*\}", TEXT) == [], "a variable without a default"
    for name in (*SERVICES, "simulator"):
        assert CONTAINERS[name]["env_file"] == [{"path": ".env", "required": False}]


def test_every_variable_that_the_services_are_given_is_one_of_theirs() -> None:
    known = {name.upper() for settings in SETTINGS for name in settings.model_fields} | {"JOBLIB_TEMP_FOLDER"}
    for service in SERVICES:
        assert CONTAINERS[service]["environment"].keys() <= known
    assert CONTAINERS["simulator"]["environment"].keys() == {url_variable("ingest"), url_variable("scoring")}


def test_the_demo_profile_adds_the_simulator_which_is_a_command_that_exists() -> None:
    assert [name for name in CONTAINERS if CONTAINERS[name].get("profiles") == ["demo"]] == ["simulator"]
    program, command, *options = CONTAINERS["simulator"]["command"]
    assert program == "headrace"
    simulate = get_command(app).commands[command]  # type: ignore[attr-defined] # a group of typer's
    assert simulate.make_context(command, list(options)).params["shop"] is True


def test_prometheus_watches_what_is_deployed() -> None:
    watched = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = {target for job in watched for config in job["static_configs"] for target in config["targets"]}
    hosts = {target.split(":")[0] for target in targets}
    assert {f"{service}:8000" for service in SERVICES} <= targets
    assert hosts <= set(CONTAINERS)


def test_grafana_opens_with_a_dashboard_that_is_there() -> None:
    opened = Path(CONTAINERS["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert f"./deploy/grafana/dashboards:{opened.parent}:ro" in CONTAINERS["grafana"]["volumes"]
    assert (ROOT / "deploy/grafana/dashboards" / opened.name).exists()


def test_the_password_of_grafana_is_drawn_once(tmp_path: Path) -> None:
    drawing, opening = CONTAINERS["grafana-password"], CONTAINERS["grafana"]
    path = Path(opening["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"])
    assert set(drawing["volumes"]) <= set(opening["volumes"])
    passwords = set()
    for folder in (tmp_path / "one", tmp_path / "one", tmp_path / "other"):
        folder.mkdir(exist_ok=True)
        script = drawing["command"][0].replace(str(path.parent), str(folder))
        subprocess.run([*drawing["entrypoint"], script], check=True)
        assert (folder / path.name).stat().st_mode & 0o077 == 0, "others may read it"
        passwords.add((folder / path.name).read_text())
    assert len(passwords) == 2
    assert all(len(password.strip()) == 32 for password in passwords)
