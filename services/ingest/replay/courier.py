"""Brings batches to ingest, and waits when ingest is away or busy."""

from collections.abc import Callable, Sequence
from http import HTTPStatus

import httpx
import msgspec
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from services.ingest.answers import BatchAnswer, BatchItem
from services.ingest.replay.plan import ReplayError
from shared.files.mapping import Event
from shared.intake.http import ErrorAnswer

_RETRIED = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
_REQUEST_SECONDS_MAX = 60.0

_encoder = msgspec.json.Encoder()
_answer_decoder = msgspec.json.Decoder(BatchAnswer)
_error_decoder = msgspec.json.Decoder(ErrorAnswer)


class _AwayError(Exception):
    """Ingest cannot take the batch now."""


class Courier:
    """Posts batches one after the other, each until it is answered."""

    def __init__(
        self, base_url: str, *, api_key: str | None, patience_seconds: float, waiting: Callable[[str], None]
    ) -> None:
        """Connect lazily.

        api_key: None where ingest asks for none.
        patience_seconds: how long one batch is tried before giving up.
        waiting: told, at every retry, why.
        """
        headers = {"X-API-Key": api_key} if api_key else {}
        self._client = httpx.Client(base_url=base_url, timeout=_REQUEST_SECONDS_MAX, headers=headers)
        self._base_url = base_url
        self._patience_seconds = patience_seconds
        self._waiting = waiting

    def post(self, topic: str, events: Sequence[Event]) -> list[BatchItem]:
        """Return what became of each of `events`.

        A batch is repeated whole: ingest derives ids from what the events say, so a repeat changes nothing.

        Raises:
            ReplayError: ingest refuses the batch as a whole, or stays away.
        """
        body = _encoder.encode({"events": events})
        retrying = Retrying(
            retry=retry_if_exception_type(_AwayError),
            wait=wait_random_exponential(multiplier=0.2, max=5.0),
            stop=stop_after_delay(self._patience_seconds),
            before_sleep=self._say_waiting,
            reraise=True,
        )
        try:
            return retrying(self._post_once, f"/v1/{topic}/batch", body)
        except _AwayError as error:
            raise ReplayError(
                f"ingest at {self._base_url} did not take events for {self._patience_seconds:g} s: {error}; "
                "run the same command again to go on from here"
            ) from error

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _post_once(self, path: str, body: bytes) -> list[BatchItem]:
        try:
            response = self._client.post(path, content=body, headers={"content-type": "application/json"})
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ReplayError(f"{self._base_url!r} is not an address such as http://127.0.0.1:8000: {error}") from error
        except httpx.TransportError as error:
            raise _AwayError(f"{type(error).__name__}: {error}") from error
        if response.status_code == HTTPStatus.ACCEPTED:
            return self._items(response)
        if response.status_code in _RETRIED:
            raise _AwayError(_reason(response))
        raise ReplayError(f"ingest at {self._base_url} refused a batch: {response.status_code}, {_reason(response)}")

    def _items(self, response: httpx.Response) -> list[BatchItem]:
        try:
            return _answer_decoder.decode(response.content).items
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ReplayError(f"{self._base_url} does not answer as ingest does: {error}") from error

    def _say_waiting(self, state: RetryCallState) -> None:
        self._waiting(str(state.outcome.exception()) if state.outcome else "")


def _reason(response: httpx.Response) -> str:
    try:
        problem = _error_decoder.decode(response.content).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return response.text[:200]
    return f"{problem.message} {problem.hint or ''}".strip()
