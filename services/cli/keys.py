"""`headrace keys`: who may call over REST."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from services.cli.terminal import HOME, Home, console, errors, plain_table
from shared.access.keys import Key, change_keys, new_key, read_keys, revoked
from shared.access.roles import Role
from shared.runtime.clock import SystemClock
from shared.runtime.settings import KEYS_FILE_NAME

RATE_PER_SECOND = 1_000

KeysPath = Annotated[
    Path | None,
    typer.Option("--keys-file", envvar="HEADRACE_KEYS_FILE", help="The keys file; otherwise keys.json in the home."),
]

keys = typer.Typer(name="keys", help="Who may call over REST.", no_args_is_help=True)


@keys.command()
def create(
    *,
    role: Annotated[list[Role], typer.Option(help="What the key may do; may be given again. An admin may do all.")],
    name: Annotated[str, typer.Option(help="Whose key it is, as metrics name it.")],
    rate: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Events a second that each process of a service takes from it.")
    ] = RATE_PER_SECOND,
    home: Home = HOME,
    keys_file: KeysPath = None,
) -> None:
    """Make a key and print it, this once; only a digest of it is kept.

    From the first key on nobody is answered without one. Services take it up within a second.
    """
    key, text = new_key(name, frozenset(role), rate_per_second=rate, now=SystemClock().now())
    change_keys(_path(home, keys_file), lambda before: [*before, key])
    # Alone on standard output, so that it can go straight into where secrets are kept.
    console.print(text, markup=False, soft_wrap=True)
    errors.print(f"key {key.key_id} for {escape(name)}; it is not shown again")


@keys.command("list")
def show(home: Home = HOME, keys_file: KeysPath = None) -> None:
    """Show every key that was made, the revoked among them."""
    path = _path(home, keys_file)
    known = read_keys(path)
    if known is None:
        console.print(f"no keys in {escape(str(path))}: everybody on this machine is answered")
        return
    table = plain_table("id", "name", "roles", "events/s", "created", "revoked")
    for key in known:
        table.add_row(*_row(key))
    console.print(table)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `headrace keys list` shows it.")],
    home: Home = HOME,
    keys_file: KeysPath = None,
) -> None:
    """Put a key out of force; services notice within a second."""
    now = SystemClock().now()
    change_keys(_path(home, keys_file), lambda before: revoked(before, key_id, now=now))
    console.print(f"key {escape(key_id)} is revoked")


def _path(home: Path, keys_file: Path | None) -> Path:
    return keys_file or home / KEYS_FILE_NAME


def _row(key: Key) -> tuple[str, ...]:
    gone = "" if key.revoked_at is None else _told(key.revoked_at)
    roles = ", ".join(sorted(key.roles))
    return key.key_id, escape(key.name), roles, str(key.rate_per_second), _told(key.created_at), gone


def _told(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z"
