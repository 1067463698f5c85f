"""The environment: names nobody reads, values that do not hold, the file of keys."""

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from services.drift.settings import DriftSettings
from services.features.settings import FeaturesSettings
from services.ingest.settings import IngestSettings
from services.local.checks.finding import Area, Finding
from services.scoring.settings import ScoringSettings
from services.training.settings import TrainingSettings
from shared.access.keys import KeysFileError, read_keys
from shared.runtime.settings import KEYS_FILE_NAME, ServiceSettings
from shared.runtime.settings_checks import problems, unread

_SETTINGS: Mapping[str, type[ServiceSettings]] = {
    "ingest": IngestSettings,
    "features": FeaturesSettings,
    "scoring": ScoringSettings,
    "training": TrainingSettings,
    "drift": DriftSettings,
}


def _writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK)


def check_settings(
    area: Area, environment: Mapping[str, str], *, home: Path, writable: Callable[[Path], bool] = _writable
) -> Sequence[Finding]:
    """Look at the environment of this process, which services started from here have too.

    writable: whether this process may change what is in a folder.
    """
    keys_file = Path(environment.get("HEADRACE_KEYS_FILE") or home / KEYS_FILE_NAME)
    return [*_names(area, environment), *_values(area), *_keys(area, keys_file, writable)]


def _names(area: Area, environment: Mapping[str, str]) -> Iterator[Finding]:
    found = {
        str(variable)
        for name, settings in _SETTINGS.items()
        for variable in unread(environment, {field.upper() for field in settings.model_fields}, service_name=name)
    }
    for told in sorted(found):
        yield area.warning("names", told, "give it its right name, or take it away")
    if not found:
        yield area.ok("names", "every HEADRACE_ variable is read by something")


def _values(area: Area) -> Iterator[Finding]:
    found: set[str] = set()
    for settings in _SETTINGS.values():
        try:
            settings()
        except ValidationError as error:
            found.update(problems(error))
    for told in sorted(found):
        yield area.failed("values", told, "see docs/settings.md: no service that reads it starts")
    if not found:
        yield area.ok("values", "every setting holds")


def _keys(area: Area, path: Path, writable: Callable[[Path], bool]) -> Iterator[Finding]:
    try:
        keys = read_keys(path)
    except KeysFileError as error:
        yield area.failed("keys", str(error), "mend it, or make it anew with `headrace keys create`")
        return
    if keys is None:
        yield area.ok("keys", f"no {path}: everybody on this machine is answered")
        return
    in_force = sum(key.revoked_at is None for key in keys)
    mode = stat.S_IMODE(path.stat().st_mode)
    if not writable(path.parent):
        # As a mounted Secret, whose mode is not for us to set.
        yield area.ok("keys", f"{path} has {in_force} keys in force, and cannot be changed from here")
    elif mode & (stat.S_IRWXG | stat.S_IRWXO):
        told = f"{path} has mode {mode:o}: others than its owner may use it"
        yield area.warning("keys", told, f"`chmod 600 {path}`")
    else:
        yield area.ok("keys", f"{path} has {in_force} keys in force, for its owner alone")
