"""Two detectors from the literature on the stream of the model's errors: witnesses, which raise no alarm themselves."""

import math
from datetime import datetime

from river.drift import ADWIN, PageHinkley

ADWIN_DELTA = 1e-4
"""Of ADWIN's bound."""
ERRORS_APART = 10_000
"""While errors are independent, Page-Hinkley sees a change that is none after so many errors or more, on average."""
RISE = 1.5
"""Page-Hinkley looks for error rates that are so many times higher, or more."""

_LEAST_RISE_EXPONENT = 0.7627
"""Positive solution of exp(x) - 1 = RISE x: how fast Page-Hinkley's false alarms grow rare with its threshold."""


class Witnesses:
    """ADWIN (Bifet and Gavaldà, 2007) and Page-Hinkley (Page, 1954), as river has them.

    Their thresholds are fixed and no part of the budget: they look at all payments as equals, while errors come in
    clusters. They corroborate what the evidence says.
    """

    def __init__(self, error_rate: float) -> None:
        """Start; error_rate: what is expected of the model, in (0, 1)."""
        self.expected = error_rate
        self.payments = 0
        self._errors = 0
        self._adwin = ADWIN(delta=ADWIN_DELTA)
        self._page_hinkley = PageHinkley(
            min_instances=math.ceil(30 / error_rate),
            delta=(RISE - 1) * error_rate,
            threshold=math.log(ERRORS_APART) / _LEAST_RISE_EXPONENT,
            alpha=1.0,
            mode="up",
        )
        self.adwin_at: datetime | None = None
        self.page_hinkley_at: datetime | None = None

    @property
    def error_rate(self) -> float:
        """Share of errors in ADWIN's window."""
        return float(self._adwin.estimation)

    def observe(self, *, is_error: bool, at: datetime) -> None:
        """Take in a payment whose label is known. at: its event time, as adwin_at and page_hinkley_at will tell it."""
        self.payments += 1
        self._errors += is_error
        self._adwin.update(float(is_error))
        if self._adwin.drift_detected and self.error_rate > self._errors / self.payments:
            self.adwin_at = at
        self._page_hinkley.update(float(is_error))
        if self._page_hinkley.drift_detected:
            self.page_hinkley_at = at

    def told(self) -> str:
        """Return what they say, for people."""
        seen = {"ADWIN": self.adwin_at, "Page-Hinkley": self.page_hinkley_at}
        told = [
            f"{name} {f'saw more errors by {at:%Y-%m-%d}' if at else 'saw no more errors'}" for name, at in seen.items()
        ]
        return f"{'; '.join(told)}. They raise no alarm themselves"
