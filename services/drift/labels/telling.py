"""What the labels say of a model, in words."""

from services.drift.evidence import by_chance
from services.drift.labels.measures import Measured
from services.drift.labels.trials import Seen
from shared.models.manifest import MODEL_NAME

_SHARES = {
    "recall": ("Recall", "labelled frauds", "were reviewed or declined"),
    "precision": ("Precision", "reviewed or declined payments whose label delay is over", "were fraud"),
}


def told(leading: Measured, version: int, seen: Seen, *, evidence_days: float) -> str:
    """Return why the measure is taken to be worse; seen: what `leading` has seen since it began."""
    where = f" where {leading.segment}" if leading.segment else ""
    since = leading.watch.bets.since
    payments = f"of payments since {since:%Y-%m-%d} that model {MODEL_NAME} {version} decided" if since else ""
    source = "the segment's first labels" if leading.segment else "held-out payments"
    if leading.measure in _SHARES:
        name, of_which, did = _SHARES[leading.measure]
        value, expected, _ = leading.watch.level(seen)
        found = (
            f"{name} has fallen{where}: {payments}, {seen.successes:,.0f} of {seen.trials:,.0f} {of_which} {did} "
            f"({value or 0:.0%}); {source} promise {expected or 0:.0%} at least."
        )
    else:
        found = (
            f"There is more fraud than the scores say{where}: {payments}, {seen.trials:,.0f} have no label to come any "
            f"more, and {seen.successes:,.0f} are fraud (of a card's day the first); the scores allow "
            f"{seen.expected:,.0f}."
        )
    return f"{found} While all is well, so much evidence comes up by chance {by_chance(evidence_days)}."
