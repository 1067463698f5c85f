"""What makes the file list readable: names, sizes, the same files in every service, docs that hold."""

import ast
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from shared.features.catalog import fraud
from shared.features.definitions import FeatureSet
from tests.architecture.source import ROOT, Module, modules

SERVICES = ("ingest", "features", "scoring", "training", "drift")
SAME_FILES = {"__init__.py", "__main__.py", "app.py", "settings.py", "handlers.py", "README.md"}
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 50
PRODUCT = list(modules("services", "shared", "deploy", "docs"))
EVERYTHING = [*PRODUCT, *modules("tests")]


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_files(service: str) -> None:
    assert {path.name for path in (ROOT / "services" / service).iterdir()} >= SAME_FILES


def test_no_name_says_nothing() -> None:
    assert [module.name for module in EVERYTHING if EMPTY_NAMES & set(module.name.split("."))] == []


def test_files_and_functions_stay_short() -> None:
    long = [m.name for m in EVERYTHING if len(m.path.read_text().splitlines()) > FILE_LINES_MAX]
    long += [
        f"{module.name}.{node.name}"
        for module in EVERYTHING
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert long == []


def test_domain_code_asks_the_injected_clock() -> None:
    """Only the clock itself, the adapters and what runs outside of the services may ask the system."""
    exempt = ("shared.runtime.clock", "shared.bus.", "services.local.", "services.cli.", "docs.")
    asking = re.compile(r"\btime\.(time|monotonic|perf_counter)\(|datetime\.now\(")
    assert [m.name for m in PRODUCT if not m.name.startswith(exempt) and asking.search(m.path.read_text())] == []


def test_no_file_is_dead() -> None:
    """Every module of the product is imported, or is an entry point."""
    text = {module.name: module.path.read_text() for module in EVERYTHING}
    dead = [
        module.name
        for module in PRODUCT
        if not module.name.endswith("__main__")
        and module.path.name != "__init__.py"
        and module.name != "docs.generate"
        and not any(named_in(module, other) for name, other in text.items() if name != module.name)
    ]
    assert dead == []


def named_in(module: Module, text: str) -> bool:
    package, _, leaf = module.name.rpartition(".")
    return module.name in text or re.search(rf"from {re.escape(package)} import .*\b{leaf}\b", text) is not None


def test_the_commands_the_docs_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = set().union(*(re.findall(r"`make ([a-z-]+)", page.read_text()) for page in pages()))
    shown |= set().union(*(re.findall(r"^make ([a-z-]+)", page.read_text(), re.MULTILINE) for page in pages()))
    assert shown <= targets
    from services.cli.__main__ import app  # noqa: PLC0415 - only this test needs the whole product

    headrace = get_command(app)
    shown_commands = [command for page in pages() for command in commands_in(page.read_text())]
    assert shown_commands, "no page shows a command"
    assert [" ".join(command) for command in shown_commands if not exists(headrace, command)] == []
    assert exists(headrace, ["features", "backfill"])
    assert not exists(headrace, ["features", "refill"])


def exists(command: object, words: list[str]) -> bool:
    """Tell whether `words` begin with what a group knows, a sub-command's name among its own included."""
    if not (words and isinstance(command, TyperGroup)):
        return True
    return words[0] in command.commands and exists(command.commands[words[0]], words[1:])


def commands_in(text: str) -> list[list[str]]:
    """Return the words behind each `headrace` up to the first that is no name."""
    shown = re.findall(r"headrace((?: [a-z][a-z-]*)+)(?![\w./])", "\n".join(code_in(text)))
    return [words.split() for words in shown]


def test_the_feature_that_the_readme_adds_is_one_more_line_of_the_catalog() -> None:
    (line,) = re.findall(r"```python\n(Window\(.*\))  #", (ROOT / "README.md").read_text())
    feature = eval(line, vars(fraud))  # noqa: S307 - a page of ours
    wider = FeatureSet("fraud", (*fraud.FRAUD.features, feature))
    assert wider.feature_names == [*fraud.FRAUD.feature_names, feature.name]
    assert wider.version != fraud.FRAUD.version


def code_in(text: str) -> list[str]:
    return re.findall(r"```(?:sh|console|bash)\n(.*?)```", text, re.DOTALL) + re.findall(r"`(headrace [^`]*)`", text)


def pages() -> list[Path]:
    names = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.split()]


def test_links_between_pages_resolve() -> None:
    broken = [
        f"{page.relative_to(ROOT)} -> {target}"
        for page in pages()
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_yaml_files_parse() -> None:
    for path in [*(ROOT / "deploy").rglob("*.y*ml"), ROOT / "docker-compose.yml"]:
        assert all(yaml.safe_load_all(path.read_text())), path
