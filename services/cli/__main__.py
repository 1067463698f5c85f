"""The `headrace` command: every command, in groups; the one place where an error becomes a line and a status."""

import logging
import sys

import typer

from services.cli.audit import audit
from services.cli.backup import backup, restore
from services.cli.dlq import dlq
from services.cli.doctor import doctor
from services.cli.drift import drift
from services.cli.experiments import experiments
from services.cli.features import features
from services.cli.keys import keys
from services.cli.lifecycle import demo, down, up
from services.cli.lists import lists
from services.cli.logs import logs
from services.cli.models import models
from services.cli.policy import policy
from services.cli.rebuild import rebuild
from services.cli.recommend import recommend
from services.cli.replay import replay
from services.cli.replay_decision import replay_decision
from services.cli.score import score
from services.cli.simulate import simulate
from services.cli.status import status
from services.cli.terminal import errors
from services.cli.topics import topics
from services.cli.train import train
from services.local.errors import PlatformError
from services.local.ports import NoFreePortError
from services.scoring.policy.document import PolicyError
from services.scoring.replaying import NotReplayableError
from services.training.refusal import RefusedError
from shared.access.keys import KeysFileError
from shared.bus.base import BusUnavailableError
from shared.contracts.codec import BadRecordError
from shared.models.packages import ModelIntegrityError
from shared.models.registry import RegistryUnavailableError
from shared.store.base import StoreUnavailableError

_OPERATIONAL = (
    PlatformError,
    NoFreePortError,
    BusUnavailableError,
    BadRecordError,
    StoreUnavailableError,
    RefusedError,
    ModelIntegrityError,
    RegistryUnavailableError,
    KeysFileError,
    NotReplayableError,
    PolicyError,
)

app = typer.Typer(
    name="headrace",
    help="Real-time scoring of events: payments go in, decisions come out, models that keep up.",
    epilog="Begin with `headrace demo`. To stay: `headrace up`, `headrace status`, "
    "`headrace replay payments.csv`, `headrace train --wait`, `headrace down`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
_MACHINE, _WATCH, _FEED, _MODELS, _DECISIONS = "On this machine", "Watch", "Feed and train", "Models", "Decisions"
app.command(rich_help_panel=_MACHINE)(demo)
app.command(rich_help_panel=_MACHINE)(up)
app.command(rich_help_panel=_MACHINE)(down)
app.add_typer(keys, name="keys", rich_help_panel=_MACHINE)
app.command(rich_help_panel=_MACHINE)(backup)
app.command(rich_help_panel=_MACHINE)(restore)
app.command(rich_help_panel=_WATCH)(status)
app.command(rich_help_panel=_WATCH)(logs)
app.command(rich_help_panel=_WATCH)(topics)
app.command(rich_help_panel=_WATCH)(doctor)
app.add_typer(dlq, name="dlq", rich_help_panel=_WATCH)
app.add_typer(drift, name="drift", rich_help_panel=_WATCH)
app.command(rich_help_panel=_FEED)(replay)
app.command(rich_help_panel=_FEED)(simulate)
app.command(rich_help_panel=_FEED)(train)
app.add_typer(features, name="features", rich_help_panel=_FEED)
app.command(rich_help_panel=_FEED)(rebuild)
app.command(rich_help_panel=_FEED)(score)
app.add_typer(models, name="models", rich_help_panel=_MODELS)
app.command(rich_help_panel=_MODELS)(recommend)
app.command("replay-decision", rich_help_panel=_DECISIONS)(replay_decision)
app.add_typer(policy, name="policy", rich_help_panel=_DECISIONS)
app.add_typer(lists, name="lists", rich_help_panel=_DECISIONS)
app.add_typer(experiments, name="experiments", rich_help_panel=_DECISIONS)
app.add_typer(audit, name="audit", rich_help_panel=_MODELS)


def main() -> None:
    """Run the command line."""
    # Vendors narrate every reconnect; a command says what matters of it in its own words.
    logging.basicConfig(level=logging.CRITICAL)
    try:
        app()
    except _OPERATIONAL as error:
        errors.print(f"headrace: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
