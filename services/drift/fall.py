"""Notices that something that used to succeed with some probability now succeeds clearly less often."""

import math


class FallTest:
    """A CUSUM of the log-likelihood ratio of "the share has fallen to `fallen`" against "it holds", one step a trial.

    Page, 1954; for Bernoulli trials Reynolds and Stoumbos, 1999. While the share is at or above the expected one, the
    mean number of trials to a false alarm is at least exp(threshold), and the chance of one within n trials at most
    n / exp(threshold) (Shin, Ramdas and Rinaldo, E-detectors, 2024). Both hold for trials that are independent of each
    other; runs of failures with one cause make false alarms likelier.
    """

    def __init__(self, expected: float, *, fall: float, false_alarm_trials: int) -> None:
        """Start without evidence.

        expected: share of successes while all is well, in (0, 1).
        fall: part of it whose loss is looked for, in (0, 1); a greater loss is noticed sooner.
        false_alarm_trials: least mean number of trials to a false alarm.
        """
        fallen = expected * (1 - fall)
        self._step_success = math.log(fallen / expected)
        self._step_failure = math.log((1 - fallen) / (1 - expected))
        self.threshold = math.log(false_alarm_trials)
        self.statistic = 0.0
        self.trials_in_doubt = 0
        self.successes_in_doubt = 0

    @property
    def fallen(self) -> bool:
        """Whether the evidence of a fall has reached the threshold."""
        return self.statistic >= self.threshold

    def observe(self, *, success: bool) -> None:
        """Take in a trial."""
        if self.fallen or self.statistic == 0:
            # Evidence that was acted upon, or that has come to nothing: begin again.
            self.statistic, self.trials_in_doubt, self.successes_in_doubt = 0.0, 0, 0
        self.trials_in_doubt += 1
        self.successes_in_doubt += success
        self.statistic = max(0.0, self.statistic + (self._step_success if success else self._step_failure))
