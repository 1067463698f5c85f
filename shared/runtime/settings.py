"""Settings every service shares; each service adds its own in its `settings.py`.

Read from the environment and validated at start. `docs/settings.md` is generated from these classes.
"""

import socket
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_HOME = Path(".headrace")


class ServiceSettings(BaseSettings):
    """What every service needs to know. Names are upper case in the environment."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    kafka_bootstrap_servers: Annotated[str, Field(description="Kafka brokers, host:port, comma separated.")] = (
        "127.0.0.1:9092"
    )
    redis_url: Annotated[
        str,
        Field(
            description="Redis or Valkey: redis://host:port/database, rediss:// for TLS, unix:///path, or "
            "redis+cluster://host:port for a Redis Cluster."
        ),
    ] = "redis://127.0.0.1:6379/0"
    headrace_home: Annotated[
        Path,
        Field(description="Folder of the archive, the models, and what training remembers of finished steps."),
    ] = DEFAULT_HOME
    mlflow_tracking_uri: Annotated[
        str | None,
        Field(description="MLflow server that keeps runs and models; unset: SQLite below HEADRACE_HOME."),
    ] = None
    headrace_instance: Annotated[
        str,
        Field(
            description="Names this process among its replicas and across restarts; two live replicas must differ. "
            "The host's name, where none is given.",
            pattern=r"^[A-Za-z0-9._-]{1,100}$",
        ),
    ] = Field(default_factory=socket.gethostname)
    headrace_http_host: Annotated[str, Field(description="Address the HTTP server binds to.")] = "127.0.0.1"
    headrace_http_port: Annotated[int, Field(description="Port of the HTTP server.", ge=1, le=65535)] = 8000
    headrace_log_level: Annotated[str, Field(description="debug, info, warning or error.")] = "info"
    headrace_topic_partitions: Annotated[
        int, Field(description="Partitions of a topic that this platform creates.", ge=1)
    ] = 4
    headrace_future_seconds_max: Annotated[
        float,
        Field(
            description="How far ahead of this host's clock a payment, label or interaction may be dated; beyond, it "
            "is refused over REST and set aside as a dead letter from a topic.",
            ge=0,
            le=31_536_000,
        ),
    ] = 300.0
    headrace_store_timeout_seconds: Annotated[
        float, Field(description="A Redis call that takes longer is given up and tried again.", gt=0)
    ] = 2.0
    headrace_state_age_seconds_max: Annotated[
        float,
        Field(description="A vector and its decision are stale when the state was further behind the log.", gt=0),
    ] = 60.0

    @property
    def state_age_max(self) -> timedelta:
        """How far behind the log a state may be."""
        return timedelta(seconds=self.headrace_state_age_seconds_max)

    @property
    def future_max(self) -> timedelta:
        """How far ahead of the clock an event from outside may be dated."""
        return timedelta(seconds=self.headrace_future_seconds_max)
