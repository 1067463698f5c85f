"""`headrace replay-decision`: decisions of the past made again, as they were or as they might have been."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import typer

from services.cli.policy import published
from services.cli.terminal import HOME, Home, console, plain_table, progress_bar
from services.scoring.model import ScoringModel
from services.scoring.policy.policy import BEFORE_THE_FIRST, Policy
from services.scoring.replaying import as_seen, fallback_of, replayed, what_if, with_features, with_payment
from services.training.archive import Archive
from services.training.decided import Decided, decided, sampled_ids
from services.training.hypothetical import CHANGEABLE, changed, hypothetical
from services.training.refusal import RefusedError
from shared.contracts import codec
from shared.contracts.events import Decision, FeatureVector
from shared.features.catalog.fraud import FRAUD
from shared.models.registry import Registry
from shared.runtime.settings import ServiceSettings

_SHOWN_CHANGES_MAX = 12


def replay_decision(
    decision_ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Of decisions, from the answer.")
    ] = None,
    home: Home = HOME,
    *,
    sample: Annotated[int, typer.Option(min=0, help="Replay as many archived decisions, drawn at random.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    model: Annotated[
        int | None, typer.Option(min=1, metavar="VERSION", help="What if this version had scored?")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help=f"What if the payment had been another ({', '.join(CHANGEABLE)}: its features are computed again), or "
            "a feature had had this value?",
        ),
    ] = None,
) -> None:
    """Make archived decisions again, from the recorded vector, model and policy, and compare every byte.

    With --model or --set: show what would have been decided instead. The exit status is 1 when a replay differs.
    """
    archive = home / "archive"
    ids = [*(decision_ids or []), *sampled_ids(archive, sample, seed=seed)]
    if not ids:
        raise typer.BadParameter("name a decision, or ask for a --sample of archived ones", param_hint="ID")
    shelf = _Shelf(home)
    if model is not None or changes:
        for recorded in decided(archive, ids):
            _show_what_if(recorded, shelf, model, _assignments(changes or []), home)
        return
    differing = _replay(decided(archive, ids), len(ids), shelf)
    for recorded, again in differing:
        _show_difference(recorded.decision, again)
    console.print(
        f"{len(ids):,} decisions replayed, {len(differing):,} differ"
        + ("." if differing else ": every byte is the same.")
    )
    if differing:
        raise typer.Exit(1)


class _Shelf:
    """Models and policies as decisions name them, each loaded once."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._registry = Registry(home, tracking_uri=ServiceSettings().mlflow_tracking_uri)
        self.model = lru_cache(maxsize=8)(self._model)
        self.policy = lru_cache(maxsize=64)(self._policy)

    def model_of(self, decision: Decision) -> ScoringModel | None:
        """Return the model that decided, checked against the digest on the decision."""
        if decision.model_digest is None:
            return None
        return self.model(decision.model_name, decision.model_version, decision.model_digest)

    def _model(self, name: str, version: int, digest: str | None) -> ScoringModel:
        digest = digest or self._registry.manifest(name, version).model_digest
        try:
            return ScoringModel(*self._registry.load(name, version, digest=digest))
        except ValueError as error:
            raise RefusedError("unusable", f"version {version} of {name} cannot be used: {error}") from error

    def _policy(self, version: int) -> Policy:
        return published(self._home, version) if version else BEFORE_THE_FIRST


def _replay(records: Iterable[Decided], total: int, shelf: _Shelf) -> list[tuple[Decided, Decision]]:
    """Return the decisions whose replay is not what was recorded."""
    differing = []
    with progress_bar() as bar:
        task = bar.add_task("replay", total=total, told="")
        for recorded in records:
            decision = recorded.decision
            again = replayed(decision, recorded.vector, shelf.model_of(decision), shelf.policy(decision.policy_version))
            if codec.encode(again) != recorded.record:
                differing.append((recorded, again))
            bar.advance(task)
    return differing


def _show_difference(was: Decision, again: Decision) -> None:
    names = [name for name in was.__struct_fields__ if getattr(was, name) != getattr(again, name)]
    table = plain_table(f"decision {was.event_id}", "recorded", "replayed")
    for name in names:
        table.add_row(name, str(getattr(was, name)), str(getattr(again, name)))
    console.print(table)


def _show_what_if(
    recorded: Decided, shelf: _Shelf, version: int | None, changes: Mapping[str, str], home: Path
) -> None:
    was = recorded.decision
    model, policy = shelf.model_of(was), shelf.policy(was.policy_version)
    fallback = fallback_of(was, model, policy)
    vector = _changed_vector(as_seen(was, recorded.vector), changes, home)
    if version is not None:
        model = shelf.model(was.model_name, version, None)
    would_be = what_if(was, vector, model, policy, fallback=fallback)
    table = plain_table(f"decision {was.event_id}", "was", "would be")
    table.add_row("decision", was.decision, would_be.decision)
    table.add_row("score", _score(was), _score(would_be))
    table.add_row("model version", str(was.model_version), str(would_be.model_version))
    for at in range(max(len(was.reasons), len(would_be.reasons))):
        texts = [one.reasons[at].text if at < len(one.reasons) else "" for one in (was, would_be)]
        table.add_row("reasons" if at == 0 else "", *texts)
    moved = [
        (name, before, after)
        for name, before, after in zip(FRAUD.feature_names, recorded.vector.values, vector.values, strict=False)
        if before != after
    ]
    for name, before, after in moved[:_SHOWN_CHANGES_MAX]:
        table.add_row(name, f"{before:.6g}", f"{after:.6g}")
    if len(moved) > _SHOWN_CHANGES_MAX:
        table.add_row("", "", f"and {len(moved) - _SHOWN_CHANGES_MAX} features more")
    console.print(table)


def _changed_vector(vector: FeatureVector, changes: Mapping[str, str], home: Path) -> FeatureVector:
    """Return the vector that the payment would have had; a payment's field goes before a feature of the same name."""
    of_payment = {name: value for name, value in changes.items() if name in CHANGEABLE}
    of_features = {name: value for name, value in changes.items() if name not in CHANGEABLE}
    if unknown := sorted(of_features.keys() - set(FRAUD.feature_names)):
        raise typer.BadParameter(f"there is no feature {', '.join(unknown)}", param_hint="--set")
    if of_payment:
        other = changed(vector.transaction, of_payment)
        values = hypothetical(Archive(home / "archive", [FRAUD]), FRAUD, vector, other)
        vector = with_payment(vector, other, values)
    numbers = {name: _number(name, value) for name, value in of_features.items()}
    return with_features(vector, numbers, FRAUD.feature_names) if numbers else vector


def _assignments(texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--set")
        found[name.strip()] = value.strip()
    return found


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise typer.BadParameter(f"feature {name} takes a number, {text!r} is none", param_hint="--set") from error


def _score(decision: Decision) -> str:
    return "none" if decision.score is None else f"{decision.score:.4f}"
