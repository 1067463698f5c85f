"""`headrace demo`, `up` and `down`."""

from typing import Annotated

import typer

from services.cli.terminal import HOME, Home, address_table, console, say
from services.local.demo.run import run_demo
from services.local.lifecycle import bring_down, bring_up
from services.local.replicas import parse_replicas


def demo(home: Home = HOME) -> None:
    """Show the whole life of a model, on real Kafka and Redis, in under four minutes.

    Simulated history is fed in, a model is trained and goes live, payments stream and are decided, a new fraud
    pattern begins, drift is noticed, retraining runs, and recall recovers. Leaves nothing running.
    """
    raise typer.Exit(run_demo(console, home))


def up(
    home: Home = HOME,
    replicas: Annotated[
        str, typer.Option(help="How many processes of ingest, features, scoring, as in features=2,scoring=2.")
    ] = "",
) -> None:
    """Start Kafka, Redis and every service on this machine, and print the addresses.

    They keep running until `headrace down`. KAFKA_BOOTSTRAP_SERVERS and REDIS_URL make it use yours instead.
    """
    try:
        counts = parse_replicas(replicas)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--replicas") from error
    bring_up(home, say, lambda addresses: console.print(address_table(addresses)), replicas=counts)


def down(home: Home = HOME) -> None:
    """Stop what `headrace up` started; data, models and archive stay."""
    found = bring_down(home, say)
    if found.ended_before:
        say(f"had ended already: {', '.join(found.ended_before)}")
    say(f"stopped {', '.join(found.stopped)}" if found.stopped else f"nothing was running from {home.resolve()}")
