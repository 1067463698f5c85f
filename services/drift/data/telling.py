"""How a quantity is distributed now and was before, for people."""

import numpy as np
import numpy.typing as npt

from services.drift.data.bins import bin_names
from services.drift.data.day_counts import Quantity
from services.drift.data.distances import (
    chi_squared_p,
    jensen_shannon_distance,
    kolmogorov_smirnov,
    population_stability_index,
    wasserstein_distance,
)
from services.drift.data.judged_days import JudgedDays
from services.drift.signals import Distribution

Floats = npt.NDArray[np.float64]


def explanation_of(quantity: Quantity, segment: str | None, psi: float, was: Floats, now: Floats) -> str:
    """Tell what moved, by how much, and the two bins that gained and lost most.

    was, now: counts, shape (bins,), of the reference days and since the change.
    """
    shares_was, shares_now = was / was.sum(), now / now.sum()
    names = bin_names(quantity.name, quantity.reference)
    changes = (shares_now - shares_was)[: len(names)]
    told = [
        f"{names[at]} {shares_was[at]:.1%} before, {shares_now[at]:.1%} now"
        for at in (int(np.argmax(changes)), int(np.argmin(changes)))
    ]
    where = f" where {segment}" if segment else ""
    return (
        f"{quantity.name}{where} (population stability index {psi:.2f}, {int(now.sum())} payments): {', '.join(told)}"
    )


def distribution_of(quantity: Quantity, at: int, judged: JudgedDays) -> Distribution:
    """Return how a quantity, at place `at` among the others, is distributed on the recent days and on those matched."""
    reference = quantity.reference
    bins = len(reference.fractions)
    counts_was, counts_now = (counts[0, at, :bins] for counts in judged.together())
    was, now = counts_was / max(counts_was.sum(), 1), counts_now / max(counts_now.sum(), 1)
    payments = max(sum(day.block.payments for day in judged.recent), 1)
    missing, unseen, outside = (
        sum(int(odd[at]) for odd in oddities) / payments
        for oddities in zip(*((d.block.missing, d.block.unseen, d.block.outside) for d in judged.recent), strict=True)
    )
    return Distribution(
        name=quantity.name,
        bins=bin_names(quantity.name, reference),
        was=was.tolist(),
        now=now.tolist(),
        samples=payments,
        psi=float(population_stability_index(was, now)),
        jensen_shannon=jensen_shannon_distance(was, now),
        kolmogorov_smirnov=kolmogorov_smirnov(reference, was, now),
        wasserstein=wasserstein_distance(reference, quantity.low, quantity.high, was, now),
        chi_squared_p=chi_squared_p(counts_was, counts_now),
        missing=missing,
        unseen=unseen,
        outside=outside,
    )
