"""How often an item was tried in the explored place, and how often that was clicked."""

from typing import NamedTuple

_PRIOR_CLICKS = 1.0
_PRIOR_TRIALS = 20.0


class Trials(NamedTuple):
    """Counts; those of distrusted shoppers are less than whole."""

    shown: float = 0.0
    clicked: float = 0.0

    @property
    def click_share(self) -> float:
        """Clicks by trials, above 0 also where there are none yet."""
        return (self.clicked + _PRIOR_CLICKS) / (self.shown + _PRIOR_TRIALS)
