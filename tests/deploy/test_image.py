"""The Dockerfile: what goes into the image is enough to run every service, and nothing but that."""

import ast
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.architecture.source import modules

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy/docker/Dockerfile").read_text()
STAGES = re.findall(r"^FROM (\S+) AS (\S+)", DOCKERFILE, re.MULTILINE)
ENTRYPOINT = ROOT / "deploy/docker/entrypoint.sh"
SERVICES = sorted(path.parent.name for path in ROOT.glob("services/*/app.py"))
OPTIONAL = {"distributed", "ray"}
"""What a search is fanned out with, where it is installed: extras of the project."""


def copied() -> set[str]:
    """What is copied from the checkout, not from another stage."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return {source for line in lines for source in line.split()[:-1]}


def last(instruction: str) -> str:
    *_, found = re.finditer(rf"^{instruction} (.+)$", DOCKERFILE, re.MULTILINE)
    return found[1]


def test_the_base_is_pinned_to_a_release() -> None:
    base = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert base is not None
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", base[1])
    assert [image for image, _ in STAGES] == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}", "platform"]
    assert f'base.name="docker.io/library/{base[1]}"' in DOCKERFILE


def test_what_builds_stays_behind() -> None:
    final = DOCKERFILE[DOCKERFILE.index("AS platform") :]
    assert not re.search(r"\b(pip|apt-get|wheel|gcc)\b", final)
    assert set(re.findall(r"^COPY --from=build (\S+)", final, re.MULTILINE)) == {"/opt/headrace", "/opt/kernels"}


def test_it_does_not_run_as_root_and_says_what_it_is_and_how_it_is() -> None:
    assert last("USER") == "10001:10001"
    assert "useradd --uid 10001" in DOCKERFILE
    assert '"-m", "shared.runtime.healthcheck"' in DOCKERFILE
    labels = re.findall(r"org\.opencontainers\.image\.([a-z.]+)=", DOCKERFILE)
    assert {"title", "version", "revision", "licenses"} <= set(labels)
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert f"ARG VERSION={version[1]}\n" in DOCKERFILE


def test_what_is_installed_is_what_the_lock_files_have_by_its_hash() -> None:
    fetched = re.findall(r"pip[^&|]*? install .*?(?=&&|\nRUN|\nCOPY)", DOCKERFILE, re.DOTALL)
    outside = [line for line in fetched if "--require-hashes" not in line and "--no-deps" not in line]
    assert fetched
    assert outside == []


def test_the_build_sees_what_it_copies_and_nothing_else() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {f"!{source}" for source in copied()} == {line for line in ignored if line.startswith("!")}
    assert all((ROOT / source).exists() for source in copied())


def test_every_import_of_the_product_is_in_the_lock_file_of_the_image() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    locked = {re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    distributions = packages_distributions()
    missing = {
        (module.name, package)
        for module in modules("services", "shared")
        for package in imported(module.tree) - {"services", "shared"} - OPTIONAL - sys.stdlib_module_names
        if not any(re.sub(r"[-_.]+", "-", name).lower() in locked for name in distributions.get(package, []))
    }
    assert missing == set()


def imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the Dockerfile builds, made from what the build sees, unpacked as an installation has it."""
    context, site = tmp_path_factory.mktemp("context"), tmp_path_factory.mktemp("site")
    tracked = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *sorted(copied())]
    for name in subprocess.run(tracked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (ROOT / name).exists():
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            (context / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(site / "dist"), str(context)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = (site / "dist").glob("*.whl")
    install = ["install", "--no-deps", "--no-compile", "--no-index", "--target", str(site / "packages"), str(wheel)]
    subprocess.run([*pip, *install], check=True)
    return site / "packages"


def test_the_wheel_holds_every_file_of_the_product(installed: Path) -> None:
    tracked = ["git", "ls-files", "services", "shared"]
    listed = subprocess.run(tracked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    names = [name for name in listed if (ROOT / name).exists()]
    assert len(names) > 300
    assert [name for name in names if not (installed / name).exists()] == []


def run_installed(installed: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python where the checkout is not, with the wheel before it."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=installed.parent,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(installed), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_starts_from_the_wheel_as_far_as_its_settings(installed: Path, service: str) -> None:
    run = f"import runpy, services.{service}.app as app; print(app.__file__); "
    run += f"runpy.run_module('services.{service}', run_name='__main__')"
    refused = run_installed(installed, "-c", run, HEADRACE_HTTP_PORT="everything")
    assert refused.stdout.startswith(str(installed)), refused.stderr
    assert refused.returncode == 2, refused.stderr
    assert "HEADRACE_HTTP_PORT" in refused.stderr


def test_the_command_and_its_version_come_with_the_wheel(installed: Path) -> None:
    asked = "from importlib.metadata import entry_points, version; print(version('headrace'), *entry_points(name='headrace'))"
    told = run_installed(installed, "-c", asked)
    assert "services.cli.__main__:main" in told.stdout, told.stderr


def test_the_entry_point_brings_the_compiled_code_to_where_it_can_be_written(tmp_path: Path) -> None:
    kernels, cache = tmp_path / "kernels", tmp_path / "tmp/cache"
    kernels.mkdir()
    (kernels / "compiled.nbc").write_bytes(b"code")
    script = tmp_path / "entrypoint.sh"
    script.write_text(ENTRYPOINT.read_text().replace("/opt/kernels", str(kernels)))
    command = ["sh", str(script), "sh", "-c", 'echo "ran $1"; exit 7', "sh", "with spaces"]
    for _ in range(2):
        ended = subprocess.run(
            command, env={"NUMBA_CACHE_DIR": str(cache)}, capture_output=True, text=True, check=False
        )
        assert (ended.stdout, ended.returncode) == ("ran with spaces\n", 7), ended.stderr
    assert (cache / "compiled.nbc").read_bytes() == b"code"
    assert os.access(ENTRYPOINT, os.X_OK)
