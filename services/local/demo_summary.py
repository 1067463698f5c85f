"""What the demo has to show for itself at the end, and whether that is what it set out to show."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.local.demo_display import SummaryRow
from services.local.demo_ledger import Decided, Ledger, Phase, detection, latency_ms
from services.local.demo_live import Story, during_and_after
from services.local.demo_plan import DemoError, DemoPlan


@dataclass(frozen=True)
class Summary:
    """Rows by stretch and model version, and single facts."""

    rows: list[SummaryRow]
    facts: list[tuple[str, str]]


def summarise(ledger: Ledger, story: Story, *, seconds_total: float) -> Summary:
    """Return what happened."""
    live = [one for one in ledger.decided() if one.phase is not Phase.HISTORY]
    stretches = sorted({(one.phase is Phase.NEW_PATTERN, one.model_version) for one in live})
    rows = [
        _row(
            "new pattern" if new_pattern else "before",
            str(version),
            [one for one in live if (one.phase is Phase.NEW_PATTERN, one.model_version) == (new_pattern, version)],
        )
        for new_pattern, version in stretches
    ]
    rows.append(_row("all live", "", live))
    return Summary(rows, _facts(ledger, story, live, seconds_total))


def check(ledger: Ledger, story: Story, plan: DemoPlan) -> None:
    """Raise DemoError unless recall fell and recovered, and every payment was decided exactly once."""
    if ledger.decided_total != ledger.made_total or ledger.duplicates or ledger.strangers:
        raise DemoError(
            f"of {ledger.made_total} payments {ledger.decided_total} were decided, {ledger.duplicates} decisions "
            f"came twice, {ledger.strangers} were about payments nobody made"
        )
    decided = ledger.decided()
    before = detection(one for one in decided if one.phase is Phase.BEFORE).recall or 0.0
    with_old, with_new = map(detection, during_and_after(decided, story.version_before))
    during, after, precision = with_old.recall or 0.0, with_new.recall or 0.0, with_new.precision or 0.0
    if not during + plan.recall_change_min <= min(before, after):
        raise DemoError(
            f"recall was {before:.2f} before the new pattern, {during:.2f} with it, {after:.2f} with the new model; "
            f"it should have fallen and risen by {plan.recall_change_min:.2f} at least"
        )
    if precision < plan.precision_min:
        raise DemoError(f"the new model's alerts have a precision of {precision:.2f}, not {plan.precision_min:.2f}")


def _row(stretch: str, version: str, decided: Sequence[Decided]) -> SummaryRow:
    found = detection(decided)
    return SummaryRow(
        stretch=stretch,
        model_version=version,
        payments=found.payments,
        frauds=found.frauds,
        recall=found.recall,
        recall_new_pattern=detection(one for one in decided if one.is_new_pattern).recall,
        precision=found.precision,
        latency_ms=latency_ms(decided),
    )


def _facts(ledger: Ledger, story: Story, live: Sequence[Decided], seconds_total: float) -> list[tuple[str, str]]:
    since = [one for one in live if story.begun_at <= one.made_at <= story.request.at]
    frauds = sum(one.is_new_pattern for one in since)
    minutes, seconds = divmod(round(seconds_total), 60)
    noticed = (
        f"{story.request.at - story.begun_at:.1f} s and {len(since):,} payments ({frauds} of the new pattern) after it "
        "began"
    )
    renewed = (
        f"version {story.promotion.event.model_version}, asked for by {story.request.event.requested_by}, promoted "
        f"{story.promotion.at - story.request.at:.1f} s later"
    )
    once = f"{ledger.decided_total:,} of {ledger.made_total:,} payments, {ledger.duplicates} twice"
    return [
        ("decided exactly once", once),
        ("drift noticed", noticed),
        ("new model", renewed),
        ("whole demo", f"{minutes} min {seconds} s"),
    ]
