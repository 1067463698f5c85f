"""One thread: what is compared here is small, and threads that wait for a core make it slow."""

from tests.unit.training.estimators.conftest import one_thread

__all__ = ["one_thread"]
