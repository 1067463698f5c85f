"""Sending dead letters back, killed with a transaction half written, by a person at the command line."""

import os
import signal
import subprocess
import sys
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.__main__ import app
from services.local.addresses import KAFKA_VARIABLE
from services.local.dead_letters import Selection, rejections
from services.local.processes import ROOT
from services.local.redriving import plan
from shared.bus.kafka import KafkaBus
from shared.contracts.topics import TOPICS, USERS
from tests.contracts.reading import everything
from tests.contracts.rejecting import reject, rejected
from tests.events import START

pytestmark = pytest.mark.servers

COUNT = 10
KILLED_IN_ITS_THIRD_TRANSACTION = """
import os, signal, sys
from services.local import redriving
from services.local.dead_letters import Selection
from shared.bus.kafka import KafkaBus
from shared.bus.kafka.transactions import TransactionalWriter
from shared.contracts.topics import USERS
from shared.runtime.clock import SystemClock

redriving._TRANSACTION_RECORDS_MAX = 2
end, ended = TransactionalWriter._end, []

async def killed(self, producer):
    if len(ended) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    ended.append(await end(self, producer))

TransactionalWriter._end = killed
redriving.redrive(KafkaBus(sys.argv[1], partitions=4), USERS, Selection(), actor="ada", clock=SystemClock())
"""


def headrace(*words: str, home: Path, kafka_servers: str) -> tuple[int, str]:
    environment = {KAFKA_VARIABLE: kafka_servers, "COLUMNS": "200", "HEADRACE_HOME": str(home)}
    done = CliRunner().invoke(app, ["dlq", *words], env=environment)
    return done.exit_code, done.stdout


def test_each_record_is_sent_once_although_the_sender_was_killed(
    kafka_servers: str, kafka_bus: KafkaBus, tmp_path: Path
) -> None:
    kafka_bus.create_topics(TOPICS)
    mark = uuid.uuid4().hex.encode()
    mine = [
        rejected(USERS, 1_000_000 + n, value=b'{"%b": %d, "trace_id": "%b"}' % (mark, n, mark)) for n in range(COUNT)
    ]
    reject(kafka_bus, *mine, at=START + timedelta(days=1), error="killed-test")
    command = [sys.executable, "-c", KILLED_IN_ITS_THIRD_TRANSACTION, kafka_servers]
    killed = subprocess.run(command, cwd=ROOT, env=dict(os.environ), check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(plan(kafka_bus, USERS, Selection(error="killed-test")).offsets) == COUNT - 4

    status, listed = headrace("list", home=tmp_path, kafka_servers=kafka_servers)
    assert status == 0
    assert ["users", "killed-test", "6", "4"] in [line.split()[:4] for line in listed.splitlines()]
    _, shown = headrace(
        "show", "users", "--reason", "killed-test", "--count", "1", home=tmp_path, kafka_servers=kafka_servers
    )
    assert "users/0/1000009 rejected by features" in shown
    assert "waiting" in shown
    assert f'"{mark.decode()}": 9' in shown
    assert f"trace {mark.decode()}" in shown
    _, raw = headrace("show", "users", "--reason", "killed-test", "--raw", home=tmp_path, kafka_servers=kafka_servers)
    assert raw.encode().splitlines() == [record.value for record in mine]

    words = ("redrive", "users", "--reason", "killed-test")
    status, said = headrace(*words, "--dry-run", home=tmp_path, kafka_servers=kafka_servers)
    assert (status, said.splitlines()[0]) == (0, "6 record(s) can be sent back to users")
    for expected in ("6 sent back to users", "0 record(s) can be sent back to users"):
        status, said = headrace(*words, "--yes", home=tmp_path, kafka_servers=kafka_servers)
        assert status == 0
        assert expected in said.splitlines()
    back = [record.value for record in everything(kafka_bus, USERS) if mark in (record.value or b"")]
    assert back == [record.value for record in mine]
    [users] = rejections(kafka_bus, [USERS])
    [reason] = [reason for reason in users.reasons if reason.error == "killed-test"]
    assert (reason.waiting, reason.redriven) == (0, COUNT)
