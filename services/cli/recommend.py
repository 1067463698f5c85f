"""`headrace recommend --out FILE`: what the champion recommends to every shopper, as Parquet."""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from services.cli.releases import loaded_recommender, registry_of
from services.cli.terminal import HOME, Home, console, open_bus, progress_bar
from services.training.archive import Archive
from services.training.model_log import ModelLog
from services.training.recommendation.batch import SCHEMA, Part, recommended
from services.training.refusal import RefusedError
from services.training.releases import registration
from shared.features.catalog.fraud import FRAUD
from shared.models.manifest import RECOMMENDATION
from shared.models.recommender import RecommenderModel
from shared.runtime.clock import SystemClock

_ITEMS_MAX = 1_000


def recommend(
    home: Home = HOME,
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", dir_okay=False, help="Where the Parquet goes.")],
    n: Annotated[int, typer.Option(min=1, max=_ITEMS_MAX, help="Most items for each shopper.")] = 20,
    users: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Ids, one a line; by default all that the archive knows."),
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="A registered version; by default the one in force.")
    ] = None,
) -> None:
    """Recommend to every shopper of the archive: a row an item, best first, with what of the history it is owed to.

    Without what a shopper touched before, and without what cannot be had now.
    """
    if not out.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {out.absolute().parent}; make it first", param_hint="--out")
    model = _model(home, version)
    asked = None if users is None else list(dict.fromkeys(filter(None, users.read_text().splitlines())))
    started = time.monotonic()
    archive = Archive(home / "archive", [FRAUD])
    parts = recommended(archive, model, n=n, now=SystemClock().now(), users=asked)
    shoppers, rows = _written(parts, out.absolute())
    seconds = time.monotonic() - started
    console.print(
        f"Wrote {rows:,} recommendations for {shoppers:,} shoppers by version {model.manifest.model_version} "
        f"to {out} in {seconds:.1f} s.",
        markup=False,
        soft_wrap=True,
    )


def _model(home: Path, version: int | None) -> RecommenderModel:
    with contextlib.closing(open_bus(home)) as bus:
        history = ModelLog(bus).history()
    event = history.champion(RECOMMENDATION) if version is None else registration(history, version, RECOMMENDATION)
    if event is None:
        raise RefusedError(
            "no_model", f"no recommender is in force; ask for one with `headrace train --model {RECOMMENDATION}`"
        )
    return loaded_recommender(registry_of(home), event)


def _written(parts: Iterator[Part], out: Path) -> tuple[int, int]:
    """Write the parts as one file, which appears whole; return how many shoppers and rows it has."""
    shoppers = rows = 0
    aside = tempfile.TemporaryDirectory(prefix=out.stem, suffix=".writing", dir=out.parent)
    with aside as folder, progress_bar() as bar:
        task = bar.add_task("recommend", total=1.0, told="")
        files = [Path(folder) / "none.parquet"]
        pl.DataFrame(schema=SCHEMA).write_parquet(files[0])
        for part in parts:
            files.append(Path(folder) / f"{len(files)}.parquet")
            part.rows.write_parquet(files[-1])
            shoppers, rows = shoppers + part.shoppers, rows + len(part.rows)
            bar.update(task, completed=part.fraction, told=f"{shoppers:,} shoppers")
        whole = Path(folder) / "whole"
        pl.scan_parquet(files, hive_partitioning=False).sink_parquet(whole)
        whole.replace(out)
        bar.update(task, completed=1.0)
    return shoppers, rows
