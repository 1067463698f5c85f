"""What the demo has to show for itself at the end, and whether that is what it set out to show."""

from collections.abc import Sequence

from services.local.demo.ledger import Decided, Ledger, Phase, detection, latency_ms
from services.local.demo.live import Story, during_and_after
from services.local.demo.plan import DemoError, DemoPlan
from services.local.demo.rows import ShopSummaryRow, Summary, SummaryRow, ratio
from services.local.demo.shop_ledger import Answered, ShopLedger, answers_of, by_model
from services.local.demo.shop_show import ShopStory


def summarise(ledger: Ledger, shop_ledger: ShopLedger, story: Story, *, seconds_total: float) -> Summary:
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
    answered = shop_ledger.answered()
    shop_rows = [
        _shop_row("changed tastes" if changed else "before", str(version), of_stretch)
        for changed, version, of_stretch in by_model(answered)
    ]
    facts = _facts(ledger, story, live)
    if story.shop is not None:
        shop_rows.append(_shop_row("all live", "", answered))
        facts += _shop_facts(shop_ledger, story.shop)
    minutes, seconds = divmod(round(seconds_total), 60)
    return Summary(rows, shop_rows, [*facts, ("whole demo", f"{minutes} min {seconds} s")])


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


def check_shop(ledger: ShopLedger, story: ShopStory, plan: DemoPlan) -> None:
    """Raise DemoError unless nobody was shown what they had bought, and click-through fell and, promoted, recovered."""
    answered = ledger.answered()
    bought_shown = answers_of(answered).bought_shown
    if bought_shown or ledger.unnamed:
        raise DemoError(
            f"of {len(answered)} lists {ledger.unnamed} had no recommendation_id, and {bought_shown} items were shown "
            "to who had bought them"
        )
    before = answers_of([one for one in answered if not one.changed]).click_through or 0.0
    during, after = (answers_of(part).click_through or 0.0 for part in _old_and_new(answered, story))
    change_min = plan.click_through_change_min
    if during > before - change_min:
        raise DemoError(f"{before:.2f} of lists were clicked, and {during:.2f} after tastes changed: that is no fall")
    if story.outcome.event.action == "promoted" and after < during + change_min:
        raise DemoError(
            f"{during:.2f} of lists were clicked after tastes changed, and {after:.2f} with the new recommender: that "
            f"is less than {change_min:.2f} more"
        )


def _old_and_new(answered: Sequence[Answered], story: ShopStory) -> tuple[list[Answered], list[Answered]]:
    """Return the lists shown after the tastes changed that the recommender before chose, and those of a newer one."""
    changed = [one for one in answered if one.changed]
    return (
        [one for one in changed if one.model_version <= story.version_before],
        [one for one in changed if one.model_version > story.version_before],
    )


def _shop_row(stretch: str, version: str, answered: Sequence[Answered]) -> ShopSummaryRow:
    answers = answers_of(answered)
    return ShopSummaryRow(
        stretch=stretch,
        model_version=version,
        lists=answers.lists,
        click_through=answers.click_through,
        bought_shown=answers.bought_shown,
        latency_ms=answers.latency_ms,
    )


def _shop_facts(ledger: ShopLedger, story: ShopStory) -> list[tuple[str, str]]:
    old, new = (answers_of(part) for part in _old_and_new(ledger.answered(), story))
    outcome = story.outcome
    clicked = f"{ratio(old.click_through)} of lists since the tastes changed"
    if outcome.event.action == "promoted":
        became = f"version {outcome.event.model_version} promoted"
        clicked += f", {ratio(new.click_through)} with version {outcome.event.model_version}"
    else:
        became = f"refused: {outcome.event.reason}"
    everything = answers_of(ledger.answered())
    facts = [
        ("tastes: drift noticed", f"{story.request.at - story.begun_at:.1f} s after they changed"),
        ("new recommender", f"{became}, {outcome.at - story.request.at:.1f} s after drift asked for it"),
        ("clicked", clicked),
        (
            "bought, shown again",
            f"{everything.bought_shown}; {everything.blind} lists came without history, and said so",
        ),
    ]
    told_ms = ledger.told_ms()
    if told_ms is not None:
        facts.append(
            ("a click tells after", f"{told_ms[0]:.0f} ms (p99 {told_ms[1]:.0f}), from taken to another answer")
        )
    return facts


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


def _facts(ledger: Ledger, story: Story, live: Sequence[Decided]) -> list[tuple[str, str]]:
    since = [one for one in live if story.begun_at <= one.made_at <= story.request.at]
    frauds = sum(one.is_new_pattern for one in since)
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
    ]
