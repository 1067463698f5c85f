"""What a broken feed shows: one value for everybody, or what training never saw.

Payments are looked at in groups of GROUP, as they come. A feature is stuck in a group whose payments nearly all have
the value that the payment before the group had, and foreign in one whose payments nearly all have no number, a value
far outside the range of training, or a category that training never met. If a symptom has the share p among usual
payments, then by Markov's inequality the chance that nearly all of a group show it is at most p / NEARLY_ALL, however
much the payments of a group resemble each other: that makes e-values of it.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.drift.champion import Champion
from services.drift.data.together import CALENDAR_FEATURES
from shared.features.definitions import WINDOW_MAX
from shared.models.manifest import Reference
from shared.models.profile import Profile

GROUP = 20
NEARLY_ALL = 0.9
SHARE_MIN = 0.01
"""No symptom is taken to be rarer among usual payments; training cannot vouch for less."""
DAY_PAYMENTS_MIN = 100
"""A day of the profile with fewer does not tell how common a value can be on one day."""
FAR = 2.0
"""Outside of a range is what is so many times larger than its end, or smaller, or of a sign that it has not."""
ONE_SOURCE_SHARE = 0.5
"""Payments that agree in all categories, although fewer than these usually do, come from one merchant or one run of a
batch: that they agree in other things too is no fault."""

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.float32]


class Observed(NamedTuple):
    """What groups of payments show. Watches are the features once for being stuck, then once for being foreign.

    shares: shape (groups, watches): of the group, how many show the symptom.
    log_e: shape (groups, watches): logarithms of e-values against "this is no more common than it was".
    """

    shares: Floats
    log_e: Floats


class Symptoms:
    """How common each symptom is among usual payments.

    low, high: the range of each feature at training. known: the codes that training met, by the place of the category.
    """

    def __init__(self, champion: Champion, profile: Profile) -> None:
        """Learn from what the champion was trained on."""
        names = champion.feature_names
        references = [champion.references[name] for name in names]
        self._references = references
        self.low = np.array(profile.low, dtype=np.float32)
        self.high = np.array(profile.high, dtype=np.float32)
        self.known = {
            at: np.array(champion.categories[name].codes if name in champion.categories else references[at].codes)
            for at, name in enumerate(names)
            if references[at].codes
        }
        # A constant that begins to vary is a feature that has come to life.
        is_range = np.array([not reference.codes for reference in references]) & (self.low < self.high)
        far = np.float32(_far(profile))
        self._least = np.where(is_range, np.where(self.low < 0, self.low * far, self.low / far), -np.inf)
        self._most = np.where(is_range, np.where(self.high > 0, self.high * far, self.high / far), np.inf)
        self._sample = profile.sample()[:, sorted(self.known)]
        self._day_shares = _day_shares(profile)
        is_constant = np.array(profile.low) == np.array(profile.high)
        self._day_shares[np.isin(names, sorted(CALENDAR_FEATURES)) | is_constant] = 1.0
        self._foreign_shares = np.array(
            [
                _rare_share(references[at]) if at in self.known and name not in champion.categories else SHARE_MIN
                for at, name in enumerate(names)
            ]
        )

    def observed(self, before: Rows, groups: Rows) -> Observed:
        """Return what `groups` show, shape (groups, GROUP, features); before: shape (groups, features)."""
        is_same = groups == before[:, None]
        shares = np.concatenate([is_same.mean(axis=1), self._is_foreign(groups).mean(axis=1)], axis=1)
        usual = np.concatenate([self._stuck_share(before), np.tile(self._foreign_shares, (len(groups), 1))], axis=1)
        e_values = np.where(usual < NEARLY_ALL, NEARLY_ALL / usual, 0.0) * (shares >= NEARLY_ALL)
        with np.errstate(divide="ignore"):
            log_e = np.log(e_values)
        features = groups.shape[2]
        # Neither for a fault nor against it.
        log_e[self._is_of_one_source(before, is_same), :features] = 0.0
        return Observed(shares, log_e)

    def day_share(self, feature: int, value: float) -> float:
        """Return which share of a day's payments had a value like this one at most, at training."""
        return float(self._day_shares[feature, self._references[feature].bins_of(np.array([value]))[0]])

    def _stuck_share(self, before: Rows) -> Floats:
        """Return how common each value is at most, shape as `before`: within an hour more so than over a day."""
        columns = [
            self._day_shares[at, reference.bins_of(before[:, at])] for at, reference in enumerate(self._references)
        ]
        shares: Floats = np.sqrt(columns).T
        return shares

    def _is_foreign(self, groups: Rows) -> Flags:
        is_foreign = ~np.isfinite(groups) | (groups < self._least) | (groups > self._most)
        for at, codes in self.known.items():
            is_foreign[:, :, at] |= ~np.isin(groups[:, :, at], codes)
        return is_foreign

    def _is_of_one_source(self, before: Rows, is_same: Flags) -> Flags:
        """Tell which groups agree in all categories although payments usually do not; shape (groups,)."""
        columns = sorted(self.known)
        agree: Flags = is_same[:, :, columns].all(axis=2).mean(axis=1) >= NEARLY_ALL
        for at in np.flatnonzero(agree):
            agree[at] = (self._sample == before[at, columns]).all(axis=1).mean() < ONE_SOURCE_SHARE
        return agree


def _far(profile: Profile) -> float:
    """Return by what factor a value may be beyond its range: what sums up a window still grows in a young history."""
    return FAR * max(1.0, WINDOW_MAX.days / max(1, len(profile.dates)))


def _day_shares(profile: Profile) -> Floats:
    """Return the largest share of each bin on any day, shape (features, bins); 1 where no day is large enough."""
    counts = profile.day_counts()[:, 0].astype(np.float64)
    totals = counts[:, 0].sum(axis=-1)
    large = counts[totals >= DAY_PAYMENTS_MIN] / totals[totals >= DAY_PAYMENTS_MIN, None, None]
    return np.maximum(large.max(axis=0), SHARE_MIN) if len(large) else np.ones(counts.shape[1:])


def _rare_share(reference: Reference) -> float:
    """Return how common categories without a bin of their own are: which of them training met is not known."""
    return max(SHARE_MIN, float(np.sqrt(reference.fractions[-1])))
