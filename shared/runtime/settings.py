"""Settings every service shares; each service adds its own in its `settings.py`.

Read from the environment and validated at start. `docs/settings.md` is generated from these classes.
"""

import ipaddress
import socket
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AnyHttpUrl, BeforeValidator, Field, FilePath, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_HOME = Path(".headrace")
KEYS_FILE_NAME = "keys.json"


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
    headrace_keys_file: Annotated[
        Path | None, Field(description="API keys, as `headrace keys` writes them; unset: keys.json in HEADRACE_HOME.")
    ] = None
    headrace_keys_required: Annotated[
        bool | None,
        Field(
            description="true: without a keys file nobody is answered. false: without one everybody is, whoever can "
            "reach HEADRACE_HTTP_HOST. Unset: everybody on this machine is; bound to any other address, a service "
            "does not start without keys."
        ),
    ] = None
    headrace_tls_certificate_file: Annotated[
        FilePath | None, Field(description="Certificate chain, PEM: the HTTP server then speaks TLS only.")
    ] = None
    headrace_tls_key_file: Annotated[FilePath | None, Field(description="Private key of that certificate, PEM.")] = None
    headrace_tls_client_ca_file: Annotated[
        FilePath | None,
        Field(description="Certificates, PEM: only clients that one of these has signed are answered (mutual TLS)."),
    ] = None
    headrace_code_commit: Annotated[
        str | None,
        Field(description="Commit of the code, for metrics and a model's lineage; by default git is asked."),
    ] = None
    headrace_log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        BeforeValidator(str.lower),
        Field(description="What is logged: this and all that is graver."),
    ] = "info"
    headrace_traces_endpoint: Annotated[
        AnyHttpUrl | None,
        Field(
            description="Collector that ingest, features and scoring send traces to, OTLP over HTTP: its address "
            "without a path, as in http://127.0.0.1:4318; unset: there are no traces. Keys and certificates are set as "
            "for every exporter: OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_CERTIFICATE."
        ),
    ] = None
    headrace_traces_sampled_share: Annotated[
        float,
        Field(
            description="Share of the traces begun here that are recorded. A call or record that comes with a "
            "traceparent has that decided already.",
            ge=0,
            le=1,
        ),
    ] = 0.01
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

    @model_validator(mode="after")
    def _tls_must_work(self) -> Self:
        if self.headrace_tls_certificate_file is None:
            if self.headrace_tls_key_file or self.headrace_tls_client_ca_file:
                raise ValueError("HEADRACE_TLS_CERTIFICATE_FILE must be set beside the other files of TLS")
            return self
        if self.headrace_tls_key_file is None:
            raise ValueError("HEADRACE_TLS_KEY_FILE must be set beside HEADRACE_TLS_CERTIFICATE_FILE")
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.headrace_tls_certificate_file, self.headrace_tls_key_file)
            if self.headrace_tls_client_ca_file:
                context.load_verify_locations(self.headrace_tls_client_ca_file)
        except OSError as error:
            raise ValueError(f"the files of HEADRACE_TLS_* cannot be used: {error}") from error
        return self

    @property
    def keys_file(self) -> Path:
        """Where the API keys are kept."""
        return self.headrace_keys_file or self.headrace_home / KEYS_FILE_NAME

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the HTTP server; of the names, only localhost is known to mean that."""
        try:
            return ipaddress.ip_address(self.headrace_http_host).is_loopback
        except ValueError:
            return self.headrace_http_host == "localhost"

    @property
    def state_age_max(self) -> timedelta:
        """How far behind the log a state may be."""
        return timedelta(seconds=self.headrace_state_age_seconds_max)

    @property
    def future_max(self) -> timedelta:
        """How far ahead of the clock an event from outside may be dated."""
        return timedelta(seconds=self.headrace_future_seconds_max)
