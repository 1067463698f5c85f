"""Run one job in a process of its own, so that it takes nothing from the payments that wait for an answer."""

import os
import sys
from pathlib import Path

from services.scoring.jobs.file_scoring import Decide, FileScoring, Progress, decider
from services.scoring.jobs.folder import JobFolder, Order
from services.scoring.model import ScoringModel
from services.scoring.policy.policy import Policy
from shared.features.catalog.fraud import FRAUD
from shared.features.engine import FeatureEngine
from shared.files.event_file import FileError
from shared.models.manifest import MODEL_NAME
from shared.models.packages import ModelIntegrityError
from shared.models.registry import Registry, RegistryUnavailableError
from shared.runtime.settings import ServiceSettings

_NICENESS = 10


class _OrphanedError(Exception):
    """The service that started this process is gone; it will say that the job was interrupted."""


def main(folder: JobFolder) -> int:
    """Do what the folder's order says; return the exit status, 1 with a problem written where it cannot be done."""
    os.nice(_NICENESS)
    parent, order = os.getppid(), folder.order

    def tell(progress: Progress) -> None:
        if os.getppid() != parent:
            raise _OrphanedError
        folder.write(progress)

    try:
        FileScoring(FeatureEngine(FRAUD), _decide(order)).run(
            order.columns.of(folder.payments(order.format)),
            out=folder.result(order),
            rejected=folder.rejected,
            tell=tell,
        )
    except (FileError, ModelIntegrityError, RegistryUnavailableError, OSError) as error:
        folder.write_problem(str(error))
        return 1
    except _OrphanedError:
        return 1
    return 0


def _decide(order: Order) -> Decide:
    settings = ServiceSettings()
    registry = Registry(settings.headrace_home, tracking_uri=settings.mlflow_tracking_uri)
    model = ScoringModel(
        *registry.load(MODEL_NAME, order.model_version, digest=order.model_digest, manifest_digest=None)
    )
    policy = Policy(order.policy, version=order.policy_version)
    return decider(model, policy, order.entries, fallback=order.fallback)


if __name__ == "__main__":
    sys.exit(main(JobFolder(Path(sys.argv[1]))))
