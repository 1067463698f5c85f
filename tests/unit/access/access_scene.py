"""A guarded app over HTTP, its keys file, and a clock that moves when told to."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from fastapi import FastAPI, Request

from shared.access.gate import Gate, caller_of, guarded
from shared.access.keyring import LOOK_SECONDS, Keyring
from shared.access.keys import change_keys, new_key, revoked
from shared.access.roles import ROLES_BY_PATH, Role
from shared.runtime.clock import ManualClock

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


class Scene:
    """Answers every path with the name of the caller."""

    def __init__(self, folder: Path, *, keys_required: bool = False) -> None:
        self.path = folder / "keys.json"
        self.clock = ManualClock(NOW)
        self.gate = Gate(Keyring(self.path, self.clock), keys_required=keys_required)
        app = FastAPI(docs_url=None, openapi_url=None)

        @app.api_route("/{path:path}", methods=["GET", "POST", "PUT", "DELETE"])
        async def answer(request: Request) -> str:
            state: Mapping[str, object] = request.scope.get("state", {})
            return caller_of(request.scope).name if "caller" in state else "nobody in particular"

        self.app = guarded(app, self.gate, ROLES_BY_PATH)

    def add_key(self, *roles: Role, name: str = "shop-7", rate_per_second: int = 1_000) -> str:
        """Return the text of a new key, in force at once."""
        key, text = new_key(name, frozenset(roles), rate_per_second=rate_per_second, now=NOW)
        change_keys(self.path, lambda keys: [*keys, key])
        self.notice()
        return text

    def revoke(self, text: str) -> None:
        change_keys(self.path, lambda keys: revoked(keys, text.split("_")[1], now=NOW))
        self.notice()

    def notice(self) -> None:
        """Let so much time pass that a changed file is noticed."""
        self.clock.advance(timedelta(seconds=LOOK_SECONDS))

    def call(
        self, path: str, key: str | None = None, headers: Mapping[str, str] | None = None, *, method: str = "POST"
    ) -> httpx.Response:
        sent = {"Authorization": f"Bearer {key}"} if key else dict(headers or {})
        return asyncio.run(self._call(method, path, sent))

    async def _call(self, method: str, path: str, headers: Mapping[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gate") as client:
            # Any byte may stand in a header, and a caller may send it.
            sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
            return await client.request(method, path, headers=sent)
