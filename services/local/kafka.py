"""A Kafka broker of one's own: one node, controller and broker in one process, on the loopback interface."""

import base64
import os
import shlex
import string
import uuid
from collections.abc import Mapping
from pathlib import Path

from services.local.broker_jars import DEPLOY
from services.local.ports import LOOPBACK, listening
from services.local.processes import SupervisedProcess
from shared.bus.kafka import KafkaBus

# Small and quick to start: half a gigabyte holds everything a machine streams, and the first compiler alone makes the
# broker answer after 2.5 s instead of 3.2 s and leaves the processors to the services.
_JVM_FLAGS = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class KafkaServer(SupervisedProcess):
    """The broker; its data and configuration live in `folder` and survive a restart."""

    def __init__(  # noqa: PLR0913 - a broker is made of these
        self,
        folder: Path,
        *,
        java: Path,
        jars: Path,
        port: int,
        controller_port: int,
        log_path: Path,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """Describe the broker.

        folder: absolute; made where it is missing.
        jars: as `broker_jars.resolve_broker` returned.
        """
        self._folder = folder
        self._ports = {"port": port, "controller_port": controller_port}
        self._java = [
            str(java),
            *_JVM_FLAGS,
            f"-Dlog4j2.configurationFile={DEPLOY / 'log4j2.yaml'}",
            "-cp",
            f"{jars}/*",
        ]
        self.bootstrap_servers = f"{LOOPBACK}:{port}"
        super().__init__("kafka", [], log_path=log_path, environment=environment, problem=self._unreachable)

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        properties = self._folder / "server.properties"
        template = string.Template((DEPLOY / "server.properties").read_text())
        properties.write_text(template.substitute(self._ports, folder=self._folder))
        run = [*self._java, "kafka.Kafka", str(properties)]
        if (self._folder / "data" / "meta.properties").exists():
            self.command = run
        else:
            cluster = new_cluster_id()
            form = [*self._java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)]
            # One process that first formats and then becomes the broker: nobody has to wait in between.
            self.command = ["sh", "-c", f"{shlex.join(form)} && exec {shlex.join(run)}"]
        super().start()

    def _unreachable(self) -> str | None:
        port = self._ports["port"]
        # Asking a closed port costs nothing; asking through the client takes seconds.
        if listening(port) and KafkaBus(self.bootstrap_servers, partitions=1).reachable():
            return None
        return f"nothing answers on {self.bootstrap_servers} yet"


def new_cluster_id() -> str:
    """Return a random cluster id as Kafka wants it: 128 bits in 22 characters of URL-safe base64.

    The first bit is 0, so that it begins with a letter: one that begins with a dash would be taken for an option.
    """
    random = uuid.uuid4().bytes
    return base64.urlsafe_b64encode(bytes([random[0] & 0x7F]) + random[1:]).decode().rstrip("=")
