"""Redis-protocol servers with options of their own, and a cluster of three of them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis

from services.local.ports import LOOPBACK, choose_ports
from services.local.processes import SupervisedProcess
from services.local.redis import find_redis
from services.local.supervisor import Supervisor

READY_SECONDS_MAX = 120.0
NODES = 3
SLOTS = 16_384


class ValkeyServer(SupervisedProcess):
    """A server that keeps nothing on disk; `unix_url` names its Unix socket."""

    def __init__(self, folder: Path, *, port: int, options: Mapping[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port
        self.joined = False  # to a cluster, so that it is ready when the cluster is
        self.url = f"redis://{LOOPBACK}:{port}/0"
        self.unix_url = f"unix://{folder}/server.sock?db=0"
        given = {"bind": LOOPBACK, "port": str(port), "unixsocket": f"{folder}/server.sock", "dir": str(folder)}
        given |= {"save": "", "appendonly": "no", **(options or {})}
        words = [word for name, value in given.items() for word in (f"--{name}", value)]
        super().__init__(
            f"valkey-{port}",
            [str(find_redis()), *words],
            log_path=folder / "server.log",
            environment=os.environ,
            problem=self._unready,
        )

    def ask(self, *command: Any) -> Any:
        """The reply to one command, over a connection of its own."""
        with redis.Redis(port=self.port) as client:
            return client.execute_command(*command)

    def _unready(self) -> str | None:
        try:
            information = self.ask("CLUSTER INFO") if self.joined else self.ask("PING")
        except redis.RedisError as error:
            return str(error)
        if not self.joined or (information["cluster_state"], information["cluster_slots_ok"]) == ("ok", str(SLOTS)):
            return None
        return str(information)


class ValkeyCluster:
    """Three primaries that share the hash slots evenly; `url` names one of them."""

    def __init__(self, folder: Path, supervisor: Supervisor) -> None:
        ports = choose_ports([None] * (2 * NODES))
        self._bus_ports = ports[NODES:]
        self.nodes = [
            ValkeyServer(folder / str(port), port=port, options=_cluster_options(bus_port))
            for port, bus_port in zip(ports, self._bus_ports, strict=False)
        ]
        self.url = f"redis+cluster://{LOOPBACK}:{self.nodes[0].port}"
        for node in self.nodes:
            supervisor.start(node)
        supervisor.wait_ready(self.nodes, seconds_max=READY_SECONDS_MAX, say=print)
        self._join()
        supervisor.wait_ready(self.nodes, seconds_max=READY_SECONDS_MAX, say=print)

    def begin_move(self, key: str) -> tuple[ValkeyServer, ValkeyServer]:
        """Begin to move the slot of `key` to another node; return where from and where to."""
        slot = self.nodes[0].ask("CLUSTER KEYSLOT", key)
        source = next(node for node in self.nodes if slot in _slots(node))
        target = next(node for node in self.nodes if node is not source)
        target.ask("CLUSTER SETSLOT", slot, "IMPORTING", _identity(source))
        source.ask("CLUSTER SETSLOT", slot, "MIGRATING", _identity(target))
        return source, target

    def end_move(self, key: str, source: ValkeyServer, target: ValkeyServer) -> None:
        """Move what the slot of `key` still holds, then the slot."""
        slot = source.ask("CLUSTER KEYSLOT", key)
        for name in source.ask("CLUSTER GETKEYSINSLOT", slot, 1000):
            source.ask("MIGRATE", LOOPBACK, target.port, name, 0, 5000)
        for node in sorted(self.nodes, key=lambda node: node is not target):
            node.ask("CLUSTER SETSLOT", slot, "NODE", _identity(target))

    def _join(self) -> None:
        for position, node in enumerate(self.nodes):
            node.joined = True
            first, end = SLOTS * position // NODES, SLOTS * (position + 1) // NODES
            node.ask("CLUSTER ADDSLOTSRANGE", first, end - 1)
            if position:
                node.ask("CLUSTER MEET", LOOPBACK, self.nodes[0].port, self._bus_ports[0])


def _cluster_options(bus_port: int) -> dict[str, str]:
    # No node is given up within a test, however long it is paused.
    return {"cluster-enabled": "yes", "cluster-port": str(bus_port), "cluster-node-timeout": "600000"}


def _identity(node: ValkeyServer) -> str:
    identity: bytes = node.ask("CLUSTER MYID")
    return identity.decode()


def _slots(node: ValkeyServer) -> set[int]:
    members = node.ask("CLUSTER NODES").values()
    (own,) = [member for member in members if "myself" in member["flags"]]
    return {slot for slots in own["slots"] for slot in range(int(slots[0]), int(slots[-1]) + 1)}
