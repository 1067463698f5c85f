"""Nobody opens a platform to others by accident."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from uvicorn import Server

from shared.access.keys import change_keys, new_key
from shared.access.roles import Role
from shared.runtime import metrics
from shared.runtime.service import OpenToOthersError, Service, http_server, serve
from shared.runtime.settings import ServiceSettings
from tests.unit.access.access_scene import NOW

ELSEWHERE = ["0.0.0.0", "::", "10.0.0.7", "scoring.internal"]  # noqa: S104 - that is what is refused


def a_key(home: Path) -> str:
    key, text = new_key("shop-7", frozenset({Role.ADMIN}), rate_per_second=1_000, now=NOW)
    change_keys(home / "keys.json", lambda keys: [*keys, key])
    return text


def server(home: Path, **settings: Any) -> Server:
    return http_server(Service(name="test", app=FastAPI()), ServiceSettings(headrace_home=home, **settings))


def get(server: Server, path: str, key: str = "") -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=server.config.app)  # type: ignore[arg-type] # uvicorn's app may be a name
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path, headers={"X-API-Key": key})

    return asyncio.run(ask())


@pytest.mark.parametrize("host", ELSEWHERE)
def test_bound_to_others_and_without_keys_a_service_does_not_start(
    tmp_path: Path, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    closed: list[str] = []
    service = Service(name="scoring", app=FastAPI(), closers=(lambda: closed.append("bus"),))
    assert serve(service, ServiceSettings(headrace_home=tmp_path, headrace_http_host=host)) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"scoring: HEADRACE_HTTP_HOST is {host}")
    assert "`headrace keys create`" in line
    assert "HEADRACE_KEYS_REQUIRED=false" in line
    assert closed == ["bus"]


def test_bound_to_others_it_starts_with_keys_or_when_told_to_be_open(tmp_path: Path) -> None:
    told = server(tmp_path, headrace_http_host="0.0.0.0", headrace_keys_required=False)  # noqa: S104
    assert get(told, "/v1/score").status_code == 404
    assert metrics.REGISTRY.get_sample_value("headrace_open_access") == 1.0
    key = a_key(tmp_path)
    for required in (None, True, False):
        guarded = server(tmp_path, headrace_http_host="0.0.0.0", headrace_keys_required=required)  # noqa: S104
        assert get(guarded, "/v1/score").status_code == 401
        assert get(guarded, "/v1/score", key).status_code == 404
    (tmp_path / "keys.json").unlink()
    with pytest.raises(OpenToOthersError):
        server(tmp_path, headrace_http_host="0.0.0.0")  # noqa: S104


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_on_this_machine_it_is_open_and_says_so(tmp_path: Path, host: str, caplog: pytest.LogCaptureFixture) -> None:
    answering = server(tmp_path, headrace_http_host=host)
    [warning] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"answers everybody who reaches {host}" in warning
    assert "`headrace keys create`" in warning
    assert metrics.REGISTRY.get_sample_value("headrace_open_access") == 0.0, "nobody is reached from elsewhere"
    assert get(answering, "/health/ready").status_code == 200


def test_where_keys_are_required_it_starts_answers_nobody_and_is_not_ready_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    closed = server(tmp_path, headrace_keys_required=True)
    assert caplog.records == []
    assert metrics.REGISTRY.get_sample_value("headrace_open_access") == 0.0
    ready = get(closed, "/health/ready")
    assert ready.status_code == 503
    assert "`headrace keys create`" in ready.json()["problems"]["keys"]
    assert get(closed, "/v1/score").status_code == 401
    key = a_key(tmp_path)
    opened = server(tmp_path, headrace_keys_required=True)
    assert get(opened, "/health/ready").status_code == 200
    assert get(opened, "/v1/score", key).status_code == 404


def test_the_keys_file_may_lie_elsewhere(tmp_path: Path) -> None:
    a_key(tmp_path)
    elsewhere = tmp_path / "home"
    guarded = server(elsewhere, headrace_keys_file=tmp_path / "keys.json")
    assert get(guarded, "/v1/score").status_code == 401
    assert server(elsewhere)
    assert get(server(elsewhere), "/v1/score").status_code == 404
