"""What stands in a backup: a tar file of the records of three topics, the files they name, and one list of it all."""

from datetime import datetime

from msgspec import Struct

from services.local.errors import PlatformError
from shared.contracts.topics import LISTS, MODELS, POLICIES, Topic

FORMAT = 1
CONTENTS_NAME = "contents.json"
DIGEST_NAME = "contents.json.sha256"
DATABASE_NAME = "mlflow.db"
ARTEFACTS_FOLDER = "mlflow-artifacts"
MODELS_FOLDER = "models"
KEYS_NAME = "keys.json"

CARRIED: tuple[Topic, ...] = (POLICIES, LISTS, MODELS)
"""The topics that are carried, in the order in which they come back: with the last one models are in force."""


class BackupError(PlatformError):
    """A backup that cannot be made, must not be used, or must not be restored here; the message says why."""


class CarriedRecord(Struct, frozen=True):
    """One record, byte for byte; produced_ms: milliseconds since 1970."""

    key: bytes
    value: bytes
    produced_ms: int


class CarriedFile(Struct, frozen=True):
    """One file of the backup; name: where it stands below the home; sha256: hexadecimal."""

    name: str
    size_bytes: int
    sha256: str


class Contents(Struct, frozen=True, kw_only=True):
    """Everything a backup holds.

    made_at: wall time. version: of Headrace. records: how many, by topic. heads: SHA-256 of the last record of each
    hash-chained topic. problems: what an audit finds wrong with the records; they are carried as they are.
    in_force: version by model name. absent: registered versions whose files could be found nowhere.
    artefacts_uri: where the runs' files lay when the database was copied; None without one. registry: the address of
    MLflow.
    """

    format: int
    made_at: datetime
    version: str
    records: dict[str, int]
    heads: dict[str, str | None]
    problems: list[str]
    in_force: dict[str, int]
    absent: list[str]
    registry: str
    artefacts_uri: str | None
    files: list[CarriedFile]


def is_path_part(text: str) -> bool:
    """Tell whether `text` names one file or folder, and leads nowhere else."""
    return text not in {"", ".", ".."} and not set(text) & set("/\\\0")


def is_file_name(name: str) -> bool:
    """Tell whether a backup may hold a file of this name: it stays below whatever folder it is put into."""
    return all(map(is_path_part, name.split("/")))


def topic_name(topic: Topic) -> str:
    """Return the name of the file with a topic's records, one JSON object a line."""
    return f"topics/{topic.name}.jsonl"


def model_name(model: str, version: int, file: str) -> str:
    """Return the name of one of the two files of a version."""
    return f"{MODELS_FOLDER}/{model}/{version}/{file}"
