"""A service as a process: settings from the environment, the real neighbours, run until told to stop."""

import logging
import os
import sys
from collections.abc import Callable
from typing import TypeVar

from pydantic import ValidationError

from shared.bus.base import Bus
from shared.bus.kafka import KafkaBus
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.logs import configure_logs
from shared.runtime.service import Service, serve
from shared.runtime.settings import ServiceSettings
from shared.runtime.settings_checks import problems, unread
from shared.store.base import Store
from shared.store.redis import open_store

log = logging.getLogger(__name__)

S = TypeVar("S", bound=ServiceSettings)


def run_process(service_name: str, settings_type: type[S], build: Callable[[S, Bus, Store, Clock], Service]) -> int:
    """Run one service against Kafka and Redis; return the exit status.

    Status 2: a setting is missing or wrong; standard error names it. A variable that nothing reads is a warning.
    """
    try:
        settings = settings_type()
    except ValidationError as error:
        for problem in problems(error):
            sys.stderr.write(f"{service_name}: setting {problem} (see docs/settings.md)\n")
        return 2
    configure_logs(service_name, settings.headrace_log_level)
    known = [name.upper() for name in settings_type.model_fields]
    for variable in unread(os.environ, known, service_name=service_name):
        log.warning("%s", variable)
    bus = KafkaBus(settings.kafka_bootstrap_servers, partitions=settings.headrace_topic_partitions)
    store = open_store(settings.redis_url, timeout_seconds=settings.headrace_store_timeout_seconds)
    return serve(build(settings, bus, store, SystemClock()), settings)
