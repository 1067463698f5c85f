"""A pytest plugin: servers that the stores' tests may pause and reconfigure, unlike those that all tests share."""

import pytest

from services.local.ports import choose_ports
from services.local.supervisor import Supervisor
from tests.contracts.valkey import READY_SECONDS_MAX, ValkeyCluster, ValkeyServer


@pytest.fixture(scope="session")
def valkey_server(supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory) -> ValkeyServer:
    """A server of the stores' own."""
    server = ValkeyServer(tmp_path_factory.mktemp("valkey"), port=choose_ports([None])[0])
    supervisor.start(server)
    supervisor.wait_ready([server], seconds_max=READY_SECONDS_MAX, say=print)
    return server


@pytest.fixture(scope="session")
def valkey_cluster(supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory) -> ValkeyCluster:
    """A cluster of three nodes."""
    return ValkeyCluster(tmp_path_factory.mktemp("cluster"), supervisor)
