"""`headrace models recalibrate`: the champion's scores and thresholds after the labels that have come since."""

import contextlib
import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.terminal import HOME, Home, console, open_bus
from services.training.model_log import ModelLog
from services.training.releases import Order
from services.training.settings import TrainingSettings
from shared.features.catalog.fraud import FRAUD
from shared.models.registry import Registry
from shared.runtime.clock import SystemClock

if TYPE_CHECKING:
    from services.training.recalibration.proposal import Proposal
    from shared.models.manifest import Manifest


def recalibrate(
    home: Home = HOME,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")] = False,
    reason: Annotated[str, typer.Option(help="Why; kept with the event.")] = "asked for on the command line",
    by: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who decided it; by default the user logged in.")
    ] = None,
) -> None:
    """Move the champion's log odds, or thresholds, after labels that have come since, where that is surely better.

    Training does so by itself; this is the same look at the same payments, now.
    """
    # Takes seconds to be imported, which no other command should wait for.
    from services.training.recalibration.recalibrator import Recalibrator  # noqa: PLC0415

    settings = TrainingSettings(headrace_home=home)
    registry = Registry(home, tracking_uri=settings.mlflow_tracking_uri)
    with contextlib.closing(open_bus(home)) as bus:
        recalibrator = Recalibrator(home, registry, FRAUD, ModelLog(bus), settings)
        candidate = recalibrator.candidate()
        _show(candidate.manifest, candidate.proposal)
        if dry_run:
            console.print("nothing was done: --dry-run")
            return
        order = Order(actor=by or getpass.getuser(), reason=reason, at=SystemClock().now())
        promoted = recalibrator.release(candidate, order)[-1]
    console.print(
        f"version {promoted.model_version} is in force from now on; event {promoted.event_id} by {promoted.actor}: "
        f"{promoted.reason}",
        markup=False,
        soft_wrap=True,
    )


def _show(manifest: "Manifest", proposal: "Proposal") -> None:
    console.print(f"version {manifest.model_version}: {proposal.reason}", markup=False, soft_wrap=True)
    for name in ("review", "decline"):
        before, after = getattr(manifest.thresholds, name), getattr(proposal.thresholds, name)
        console.print(f"{name} from {after:.4g} (before: {before:.4g})", markup=False)
