"""`headrace backup` and `restore`: models, policies and lists, from one platform into another."""

import contextlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from services.cli.terminal import HOME, Home, console, errors, open_bus, say
from services.local.backup.contents import BackupError, Contents
from services.local.backup.making import back_up
from services.local.backup.restoring import restore as restored
from shared.contracts.topics import MODELS, POLICIES
from shared.runtime.clock import SystemClock
from shared.runtime.settings import ServiceSettings


def backup(
    home: Home = HOME,
    *,
    to: Annotated[str, typer.Option(metavar="FILE", help="The tar file to write, or a folder for it.")],
    with_keys: Annotated[bool, typer.Option("--with-keys", help="The API keys' digests too: keep it secret.")] = False,
) -> None:
    """Write models, policies, lists and the record of them to one file, while everything runs.

    Not in it: payments and decisions, which are on the log and in the archive, and what is in Redis, which
    `headrace rebuild` makes again. See docs/operations.md.
    """
    now = SystemClock().now()
    file = _file(to, now)
    with contextlib.closing(open_bus(home)) as bus:
        contents = back_up(
            bus,
            home,
            tracking_uri=ServiceSettings().mlflow_tracking_uri,
            to=file,
            now=now,
            keys_file=_keys_file(home) if with_keys else None,
        )
    _show([("file", f"{file}, {file.stat().st_size:,} bytes"), *_rows(contents)])
    for absent in contents.absent:
        errors.print(f"not in it, its files are nowhere: {absent}", style="yellow", markup=False, soft_wrap=True)


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="From `headrace backup`.")],
    home: Home = HOME,
    *,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Leave API keys as they are here, whatever is in the file.")
    ] = False,
) -> None:
    """Put a backup into an empty platform: the record holds as before, and the same versions are in force.

    Everything in the file is checked before anything is written. Refuses where there is something already. One that
    was interrupted is run again.
    """
    with contextlib.closing(open_bus(home)) as bus:
        local_runs = ServiceSettings().mlflow_tracking_uri is None
        keys_file = None if without_keys else _keys_file(home)
        contents = restored(bus, home, file, local_runs=local_runs, keys_file=keys_file, say=say)
    _show(_rows(contents))
    if not local_runs:
        say("runs and reports are those of the MLflow server")
    say(f"the backup of {contents.made_at:%Y-%m-%d %H:%M:%S}Z is in force")
    if proof := _proof(contents):
        _show([("proved by", proof)])


def _file(to: str, now: datetime) -> Path:
    """Return which file to write: `to`, or one named by the time in the folder `to`."""
    if Path(to).is_dir():
        return Path(to) / f"headrace-{now:%Y-%m-%dT%H-%M-%SZ}.tar"
    if to.endswith("/"):
        raise BackupError(f"there is no folder {to}: make it, or name a file")
    return Path(to)


def _proof(contents: Contents) -> str:
    options = {"--head": contents.heads[MODELS.name], "--policies-head": contents.heads[POLICIES.name]}
    given = [f"{option} {head}" for option, head in options.items() if head]
    return f"headrace audit verify {' '.join(given)}" if given else ""


def _rows(contents: Contents) -> Iterator[tuple[str, str]]:
    yield "made", f"{contents.made_at:%Y-%m-%d %H:%M:%S}Z by Headrace {contents.version}"
    yield "records", ", ".join(f"{count} on {name}" for name, count in contents.records.items())
    yield "in force", ", ".join(f"{name} {version}" for name, version in contents.in_force.items()) or "no model"
    for name, head in contents.heads.items():
        yield f"head of {name}", head or "none"
    yield "runs", contents.registry if contents.artefacts_uri is None else "in the file, with their reports"
    for problem in contents.problems:
        yield "carried as it is", problem


def _show(rows: list[tuple[str, str]] | Iterator[tuple[str, str]]) -> None:
    for what, told in rows:
        # Not a table: a digest that was wrapped could not be copied.
        console.print(f"{what:<18}{told}", markup=False, soft_wrap=True)


def _keys_file(home: Path) -> Path:
    return ServiceSettings(headrace_home=home).keys_file
