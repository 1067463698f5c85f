"""What `models` shows as a whole: its hash chain, what its events say of one another, and the models' files."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from shared.contracts.chain import ChainAudit, examined, readable
from shared.contracts.events import ModelEvent
from shared.models.manifest import ModelManifest
from shared.models.packages import ModelIntegrityError, Packages


class Audit(NamedTuple):
    """What a whole `models` topic shows, beside the files on this machine.

    events: those that could be read. whole, absent: how many registered versions have their files here as announced,
    and how many do not have them here. problems: everything that is wrong, each in a sentence; none when all holds.
    """

    events: tuple[ModelEvent, ...]
    chain: ChainAudit
    whole: int
    absent: int
    problems: tuple[str, ...]


def examine(values: Sequence[bytes | None], packages: Packages, *, earlier_head: str | None = None) -> Audit:
    """Check the chain, what its events say about one another, and the files of registered versions.

    values: of all records, oldest first. earlier_head: a digest noted at an earlier audit, to prove that everything up
    to it is still there.
    """
    events = tuple(readable(values, ModelEvent))
    chain = examined(values, ModelEvent, earlier_head=earlier_head)
    whole, absent, damaged = _files(events, packages)
    return Audit(events, chain, whole, absent, (*chain.problems, *_contradictions(events), *damaged))


def _contradictions(events: Iterable[ModelEvent]) -> list[str]:
    """Return what is said of versions that were not registered before, or of other bytes than were registered."""
    found: list[str] = []
    registered: dict[tuple[str, int], str | None] = {}
    for event in (event for event in events if event.model_version):
        version = (event.model_name, event.model_version)
        said = f"event {event.event_id}: {event.model_name} {event.model_version} was {event.action}"
        if event.action == "registered" and version not in registered:
            registered[version] = event.model_digest
        elif version not in registered:
            found.append(f"{said}, but had not been registered")
        elif event.model_digest not in {None, registered[version]}:
            found.append(f"{said} as the model {event.model_digest}, but registered was {registered[version]}")
    return found


def _files(events: Iterable[ModelEvent], packages: Packages) -> tuple[int, int, list[str]]:
    """Return how many registered versions are whole, how many are not here, and what is wrong with the others."""
    whole, absent, damaged = 0, 0, []
    registered = [event for event in events if event.action == "registered"]
    here = {name: packages.versions(name) for name in {event.model_name for event in registered}}
    for event in registered:
        if event.model_version not in here[event.model_name]:
            absent += 1
            continue
        try:
            packages.load(
                event.model_name,
                event.model_version,
                digest=event.model_digest,
                manifest_digest=event.manifest_digest,
                kind=ModelManifest,
            )
            whole += 1
        except ModelIntegrityError as error:
            damaged.append(f"{event.model_name} {event.model_version}: {error}")
    return whole, absent, damaged
