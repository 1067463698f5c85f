"""What a recommender is trained on: the archive's interactions, each once, weighed by kind and by trust."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from services.training.archive import Archive
from services.training.recommendation.histories import Histories
from services.training.recommendation.trust import suspicions, trust
from services.training.refusal import RefusedError
from services.training.settings import TrainingSettings
from shared.contracts.topics import INTERACTIONS, ITEMS, USERS, Topic

_COLUMNS = ["event_id", "occurred_at", "user_id", "item_id", "kind"]
_ARRIVAL = ["produced_ms", "partition", "offset"]
_DAY = timedelta(days=1)


class LeftOut(NamedTuple):
    """How many archived interactions do not count, by why.

    repeated: the same event again. ahead: dated later than the clock allows. weightless: of a kind that counts nothing.
    excess: beyond what one shopper may do in a day.
    """

    repeated: int
    ahead: int
    weightless: int
    excess: int


@dataclass(frozen=True)
class Interactions:
    """The interactions of a training run, by user and in order of time, as Histories lays them out.

    user_ids, item_ids: position → id, ascending; items that nobody touched yet are those of the catalogue.
    trust: shape (interactions,), what each counts for its user's sake; it is part of the histories' weights.
    segments: values of the users' attribute; a history's segment is the place here + 1, or 0 for everyone.
    traits: what is known of each item: its categories, and its attributes that are text, as `name=value`.
    digest: SHA-256 of all of it.
    """

    histories: Histories
    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]
    trust: npt.NDArray[np.float32]
    segments: tuple[str, ...]
    traits: tuple[tuple[str, ...], ...]
    left_out: LeftOut
    first_at: datetime
    as_of: datetime
    digest: str


def read_interactions(archive: Archive, settings: TrainingSettings, *, now: datetime) -> Interactions:
    """Return what is archived, as of `now`.

    Raises:
        RefusedError: nothing that counts is archived, or the archive cannot be read.
    """
    rows, left_out = _counted(archive, settings, now)
    if rows.is_empty():
        raise RefusedError(
            "no_interactions",
            "no interaction is archived that counts; send them with POST /v1/interactions, or to the topic "
            f"`{INTERACTIONS.name}`, and see HEADRACE_TRAINING_KIND_WEIGHTS",
        )
    distrust_days = settings.headrace_training_distrust_days
    reach = timedelta(days=distrust_days) + _DAY
    first, last = rows["occurred_at"].min(), rows["occurred_at"].max()
    assert isinstance(first, datetime)  # noqa: S101 - not of nothing
    assert isinstance(last, datetime)  # noqa: S101
    suspect = suspicions(archive, since=(first - reach).date(), until=(last + reach).date())
    trusted = trust(rows, suspect, distrust_days=distrust_days).cast(pl.Float32).to_numpy()
    items = _latest(archive, ITEMS, "item_id")
    users = _latest(archive, USERS, "user_id")
    user_ids = rows["user_id"].unique().sort()
    item_ids = pl.concat([rows["item_id"], items["item_id"]]).unique().sort()
    segments, segment_of = _segments(users, user_ids, settings)
    user_at = rows["user_id"].cast(pl.Enum(user_ids)).to_physical().to_numpy()
    histories = Histories(
        offsets=np.searchsorted(user_at, np.arange(len(user_ids) + 1)).astype(np.int64),
        items=rows["item_id"].cast(pl.Enum(item_ids)).to_physical().to_numpy().astype(np.int32),
        weights=(rows["weight"].to_numpy() * trusted).astype(np.float32),
        times=rows["occurred_at"].dt.epoch("us").to_numpy(),
        item_count=len(item_ids),
        segments=segment_of,
    )
    traits = _traits(items, item_ids)
    ids = tuple(user_ids), tuple(item_ids)
    digest = _digest(histories, [*ids, segments, traits])
    return Interactions(histories, *ids, trusted, segments, traits, left_out, first, last, digest)


def require_usable(data: Interactions, settings: TrainingSettings) -> None:
    """Raise RefusedError where there is too little to learn from."""
    history = data.histories
    touched = len(np.unique(history.items))
    several = int((np.diff(history.offsets) >= 2).sum())
    for name, found, needed, what in (
        ("INTERACTIONS_MIN", len(history.items), settings.headrace_training_interactions_min, "interactions"),
        ("SHOPPERS_MIN", several, settings.headrace_training_shoppers_min, "shoppers with two interactions or more"),
        ("ITEMS_MIN", touched, settings.headrace_training_items_min, "items that somebody touched"),
    ):
        if found < needed:
            raise RefusedError(
                "too_few_interactions",
                f"the archive holds {found} {what}, at least {needed} are needed; wait for more, or set "
                f"HEADRACE_TRAINING_{name}",
            )


def _counted(archive: Archive, settings: TrainingSettings, now: datetime) -> tuple[pl.DataFrame, LeftOut]:
    """Return the interactions that count, by user and time, with their weight, and how many others there are."""
    limit = now.astimezone(UTC) + settings.future_max
    dates = [day for day in archive.dates(INTERACTIONS) if day <= limit.date()]
    if not dates:
        return archive.rows(INTERACTIONS, _COLUMNS, until=limit.date()), LeftOut(0, 0, 0, 0)
    since = dates[-1] - timedelta(days=settings.headrace_training_interaction_days)
    rows = archive.rows(INTERACTIONS, _COLUMNS, since=since)
    in_time = rows.filter(pl.col("occurred_at") <= limit)
    once = in_time.unique("event_id", keep="first")
    kinds = settings.headrace_training_kind_weights
    weighed = once.with_columns(
        weight=pl.col("kind").replace_strict(kinds, default=0.0, return_dtype=pl.Float64)
    ).filter(pl.col("weight") > 0)
    ordered = weighed.sort("user_id", "occurred_at", "event_id")
    day = pl.col("occurred_at").dt.date()
    from_the_newest = pl.col("event_id").cum_count(reverse=True).over("user_id", day)
    counted = ordered.filter(from_the_newest <= settings.headrace_training_daily_interactions_max)
    left_out = LeftOut(
        len(in_time) - len(once), len(rows) - len(in_time), len(once) - len(weighed), len(weighed) - len(counted)
    )
    return counted, left_out


def _latest(archive: Archive, topic: Topic, key: str) -> pl.DataFrame:
    """Return the newest row of each item, or user, that was not deleted."""
    columns = [key, "attributes", "is_deleted", "produced_ms", *(["categories"] if topic is ITEMS else [])]
    newest = archive.rows(topic, columns).sort(_ARRIVAL).unique(key, keep="last")
    return newest.filter(~pl.col("is_deleted"))


def _segments(
    users: pl.DataFrame, user_ids: pl.Series, settings: TrainingSettings
) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    """Return the segments that are large enough, ascending, and which of them each user is in: its place + 1, or 0."""
    attribute = settings.headrace_training_segment_attribute
    values = [None if attribute is None else _text(_decoded(row).get(attribute)) for row in users["attributes"]]
    known = users.select("user_id", segment=pl.Series(values, dtype=pl.String()))
    of_user = pl.DataFrame({"user_id": user_ids}).join(known, on="user_id", how="left", maintain_order="left")
    counts = of_user.drop_nulls().group_by("segment").len()
    enough = counts.filter(pl.col("len") >= settings.headrace_training_segment_shoppers_min)
    segments = tuple(enough["segment"].sort())
    places = {segment: at for at, segment in enumerate(segments, start=1)}
    return segments, np.array([places.get(segment, 0) for segment in of_user["segment"]], dtype=np.int32)


def _traits(items: pl.DataFrame, item_ids: pl.Series) -> tuple[tuple[str, ...], ...]:
    known = {
        item_id: (
            *(f"category={category}" for category in categories),
            *(f"{name}={value}" for name, value in _decoded(attributes).items() if isinstance(value, str)),
        )
        for item_id, categories, attributes in items.select("item_id", "categories", "attributes").iter_rows()
    }
    return tuple(known.get(item_id, ()) for item_id in item_ids)


def _decoded(attributes: str) -> dict[str, float | str]:
    return msgspec.json.decode(attributes, type=dict[str, float | str])


def _text(value: float | str | None) -> str | None:
    return None if value is None else str(value)


def _digest(histories: Histories, texts: Sequence[object]) -> str:
    digest = hashlib.sha256(msgspec.json.encode(texts))
    for array in (histories.offsets, histories.items, histories.weights, histories.times, histories.segments):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
