"""Structured logs: one JSON object a line on standard error, with the trace id where there is one."""

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder(enc_hook=str)


class _JsonFormatter(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = getattr(record, "fields", None)
        if fields:
            line.update(fields)
        if record.exc_info:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return _encoder.encode(line).decode()


def configure_logs(service: str, level: str) -> None:
    """Send every log line of this process to standard error as JSON.

    Raises:
        ValueError: unknown level.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter(service))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # The Kafka client narrates every reconnect, several lines a second; our loop says once a try what it waits for.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    for vendor in ("uvicorn.access", "httpx", "httpcore"):
        logging.getLogger(vendor).setLevel(logging.WARNING)


def fields(**values: Any) -> dict[str, Any]:
    """Return keyword arguments for a logging call that add `values` to the line: log.info("...", **fields(a=1))."""
    return {"extra": {"fields": values}}
