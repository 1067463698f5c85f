"""What an image's HEALTHCHECK says, against the server as it is: open, behind keys, with TLS, with mutual TLS."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from shared.runtime.healthcheck import check
from shared.runtime.settings import ServiceSettings
from tests.unit.access.listening import listening, self_signed


def settings_at(port: int, **settings: object) -> ServiceSettings:
    return ServiceSettings(headrace_http_host="0.0.0.0", headrace_http_port=port, **settings)  # type: ignore[arg-type]  # noqa: S104


def test_a_service_that_asks_for_keys_is_live_without_one(tmp_path: Path) -> None:
    with listening(tmp_path, headrace_keys_required=True) as port:
        assert check(settings_at(port)).is_live


@pytest.mark.parametrize("clients", ["nobody in particular", "itself among them", "others only"])
def test_a_service_that_speaks_tls_is_asked_over_tls(tmp_path: Path, clients: str) -> None:
    own, other = self_signed(tmp_path, "own"), self_signed(tmp_path, "other")
    authority = {"nobody in particular": None, "itself among them": own.certificate, "others only": other.certificate}
    tls = {
        "headrace_tls_certificate_file": own.certificate,
        "headrace_tls_key_file": own.key,
        "headrace_tls_client_ca_file": authority[clients],
    }
    with listening(tmp_path, **tls) as port:
        assert check(settings_at(port, **tls)).is_live
        assert not check(settings_at(port)).is_live, "it would be asked without TLS"


def test_nobody_there_or_another_program_is_not_live(tmp_path: Path) -> None:
    own = self_signed(tmp_path, "own")
    tls = {"headrace_tls_certificate_file": own.certificate, "headrace_tls_key_file": own.key}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert not check(settings_at(port)).is_live
    with listening(tmp_path) as port:
        assert not check(settings_at(port, **tls)).is_live, "it does not speak TLS, which it should"


def test_the_command_reads_the_settings_of_the_service_and_exits_by_what_it_found(tmp_path: Path) -> None:
    with listening(tmp_path) as port:
        statuses = []
        for host_port in (port, 1):
            environment = os.environ | {"HEADRACE_HTTP_PORT": str(host_port)}
            command = [sys.executable, "-m", "shared.runtime.healthcheck"]
            statuses.append(subprocess.run(command, env=environment, capture_output=True, check=False).returncode)
    assert statuses == [0, 1]
