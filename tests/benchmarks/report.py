"""One table a benchmark: figure, ours, peer or floor, goal; the same flat in .bench/<name>.json."""

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

RESULTS = Path(".bench")


class Figure(NamedTuple):
    """One measured number.

    key: its name in the JSON file, with the unit last. beside: what it is held against, measured in the same run or
    published; beside_what says which.
    """

    key: str
    label: str
    ours: float
    beside: float | None = None
    beside_what: str = ""
    goal: str = ""


def publish(name: str, title: str, figures: list[Figure]) -> None:
    """Print the table and write the file."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    table = Table(title=f"{title}\n{machine}, commit {commit.strip() or 'unknown'}")
    for column in ("figure", "ours", "peer or floor", "what it is", "goal"):
        table.add_column(column, justify="right" if column in {"ours", "peer or floor"} else "left")
    flat: dict[str, float | str] = {"machine": machine, "commit": commit.strip()}
    for figure in figures:
        beside = "" if figure.beside is None else _shown(figure.beside)
        table.add_row(figure.label, _shown(figure.ours), beside, figure.beside_what, figure.goal)
        flat[figure.key] = figure.ours
        if figure.beside is not None:
            flat[f"{figure.key}_beside"] = figure.beside
            flat[f"{figure.key}_beside_what"] = figure.beside_what
    Console(width=140).print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(flat, indent=2) + "\n")


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
