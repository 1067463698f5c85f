"""What the registry keeps of training runs, in plain types."""

from datetime import datetime
from typing import NamedTuple


class DataSource(NamedTuple):
    """The events that a run was made from.

    digest: SHA-256 of the training set. archive: where they are archived. first_at, last_at: event time.
    frauds: how many of payments were found to be fraud. name: what they are, in the plural.
    """

    digest: str
    archive: str
    first_at: datetime
    last_at: datetime
    rows: int
    frauds: int | None = None
    name: str = "payments"


class Version(NamedTuple):
    """A registered version, as MLflow knows it.

    report: where the files lie that were kept with its run.
    """

    number: int
    run_id: str
    created_at: datetime
    tags: dict[str, str]
    metrics: dict[str, float]
    report: str
