"""Whether a new recommender foretells what shoppers touch better than the champion, by a test that states its error.

Were the two equally good, each shopper's figures could change places between them and nothing would be different; so
they are exchanged for a random half of the shoppers, again and again, and the new model wins when so large a lead comes
about in at most `error_rate` of the exchanges (Fisher 1935; for ranking measures: Smucker, Allan and Carterette, "A
Comparison of Statistical Significance Tests for Information Retrieval Evaluation", CIKM 2007). The figure is the
normalised discounted cumulative gain of the first SHOWN items (Jarvelin and Kekalainen 2002), of the one item that was
touched: 1 / log2(1 + rank), or 0; shoppers count alike, however many cases each has.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from services.training.evaluation.bootstrap import Counts, Interval, card_places, intervals
from services.training.gates.guard_rails import GuardRail
from services.training.gates.promotion import EXCHANGES, PairedTest
from services.training.recommendation.cases import SHOWN, Cases, Places, Ranked
from services.training.verdict import Verdict

SHOPPERS_MIN = 20
"""With fewer shoppers there are too few ways to exchange them."""
RESAMPLES = 500

_AT_ONCE = 100

Figures = npt.NDArray[np.float64]


def judged(
    candidate: Ranked,
    rival: Ranked,
    cases: Cases,
    *,
    against: str,
    rails: Sequence[GuardRail],
    error_rate: float,
) -> Verdict:
    """Hold a candidate against its rival, which `against` names, and against the guard rails.

    candidate: of the stand-in, of the same making, which has not seen the cases either.
    """
    test = paired_by_shopper(rival, candidate, cases, error_rate=error_rate)
    reason = f"{'better than' if test.better else 'not surely better than'} {against}: {test.explanation}"
    broken = [f"{rail.name}: {rail.explanation}" for rail in rails if not rail.passed]
    if broken:
        reason = f"{'; '.join(broken)}. Otherwise: {reason}"
    return Verdict(test.better and not broken, reason, test, tuple(rails))


def gains(ranks: Places) -> Figures:
    """Return the gain of each case, shape (n,)."""
    return np.where(ranks <= SHOWN, 1 / np.log2(1 + ranks), 0.0)


def measured(ranked: Ranked, cases: Cases, *, items: int) -> dict[str, Interval]:
    """Return hit_rate, ndcg and mrr, each of the first SHOWN and with its interval over shoppers, and coverage.

    items: in the catalogue; coverage is the share of them that was shown to somebody.
    """
    hits = ranked.ranks <= SHOWN
    reciprocal = np.where(hits, 1 / ranked.ranks, 0.0)
    of_shopper = np.stack(
        [_by_shopper(each, cases) for each in (hits.astype(np.float64), gains(ranked.ranks), reciprocal)], axis=1
    )

    def means(counts: Counts) -> list[float]:
        return [float(value) for value in counts @ of_shopper / counts.sum()]

    found = intervals(means, len(of_shopper), resamples=RESAMPLES, seed=0)
    share = items_shown(ranked) / items
    names = [f"{name}_at_{SHOWN}" for name in ("hit_rate", "ndcg", "mrr")]
    return dict(zip(names, found, strict=True)) | {f"coverage_at_{SHOWN}": Interval(share, share, share)}


def paired_by_shopper(
    rival: Ranked, candidate: Ranked, cases: Cases, *, error_rate: float, seed: int = 0
) -> PairedTest:
    """Test whether the candidate's gains on the same cases are larger than the rival's."""
    shoppers = len(np.unique(cases.shoppers))
    what = f"{len(cases.events)} first touches by {shoppers} shoppers, all later than what both were trained on"
    if shoppers < SHOPPERS_MIN:
        needed = f"at least {SHOPPERS_MIN} shoppers are needed, so ask again when more have come"
        return PairedTest(False, 0.0, None, f"not comparable yet: {what}; {needed}")
    differences = _by_shopper(gains(candidate.ranks) - gains(rival.ranks), cases)
    lead = float(differences.mean())
    rng = np.random.default_rng(seed)
    as_large = 0
    for begin in range(0, EXCHANGES, _AT_ONCE):
        signs = rng.choice(np.array([-1.0, 1.0]), (min(_AT_ONCE, EXCHANGES - begin), shoppers))
        # Rounding must not turn an exchange of equals into a smaller lead.
        as_large += int((signs @ differences / shoppers >= lead - 1e-12).sum())
    p_value = (1 + as_large) / (1 + EXCHANGES)
    better = lead > 0 and p_value <= error_rate
    return PairedTest(
        better,
        lead,
        p_value,
        f"a lead of {lead:+.4f} in NDCG@{SHOWN} on {what}; "
        f"p = {p_value:.2g}, {'within' if better else 'beyond'} the error rate of {error_rate:g}",
    )


def coverage(candidate: Ranked, champion: Ranked, *, loss_max: float) -> GuardRail:
    """Check that the candidate shows not many fewer items than the champion: what is never shown is never sold."""
    ours, theirs = items_shown(candidate), items_shown(champion)
    return GuardRail(
        "coverage",
        ours >= (1 - loss_max) * theirs,
        f"{ours} items were shown to somebody, by the champion {theirs}; at most {loss_max:.0%} fewer are allowed",
    )


def items_shown(ranked: Ranked) -> int:
    """Return how many items were shown in some case."""
    return len(np.unique(ranked.shown[ranked.shown >= 0]))


def _by_shopper(values: Figures, cases: Cases) -> Figures:
    """Return each shopper's mean, shape (shoppers,)."""
    places, count = card_places(cases.shoppers)
    totals = np.bincount(places, weights=values, minlength=count)
    return np.asarray(totals / np.bincount(places, minlength=count), dtype=np.float64)
