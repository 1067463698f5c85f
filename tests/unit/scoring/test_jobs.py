"""Files decided over REST: from the upload to the removal, through cancellations, restarts and full queues."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from fastapi.testclient import TestClient
from msgspec.structs import replace
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from services.scoring.jobs.described import JOB_SCHEMAS
from services.scoring.jobs.endpoints import InForce, job_routes
from services.scoring.jobs.file_scoring import FileScoring
from services.scoring.jobs.results import ResultRow
from services.scoring.jobs.runner import JobLimits, JobRunner
from services.scoring.policy.policy import BEFORE_THE_FIRST
from services.scoring.roles import Roles
from shared.features.catalog.fraud import FRAUD
from shared.features.engine import FeatureEngine
from shared.files.event_file import EventFile
from shared.intake.http import DescribedApi
from shared.models.packages import Packages
from shared.runtime import metrics
from shared.runtime.clock import ManualClock
from tests.unit.scoring.file_scene import BLOCKED, POLICY, deciding, loaded, payments, suspicious_by_everything, written

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
KEPT_FOR = timedelta(hours=24)
BYTES_MAX = 1_000_000
FEW = payments(60, days=2)
VERDICTS = ("approve", "review", "decline")


def wait_until(reached: Callable[[], bool], told: str) -> None:
    """Wait as long as a process may take to start on a busy machine."""
    waiting = Retrying(
        retry=retry_if_result(lambda there: not there), stop=stop_after_delay(120), wait=wait_fixed(0.02)
    )
    assert waiting(reached), told


@dataclass
class Scene:
    home: Path
    client: TestClient
    runner: JobRunner
    clock: ManualClock

    def submit(self, content: bytes, **parameters: Any) -> httpx.Response:
        answer: httpx.Response = self.client.post("/v1/jobs", content=content, params={"format": "jsonl"} | parameters)
        return answer

    def submitted(self, content: bytes, **parameters: Any) -> str:
        answer = self.submit(content, **parameters)
        assert answer.status_code == 202, answer.text
        assert answer.json()["state"] == "waiting"
        return answer.headers["Location"]

    def ended(self, location: str, state: str) -> dict[str, Any]:
        wait_until(lambda: self.client.get(location).json()["state"] not in {"waiting", "running"}, "ended")
        answer: dict[str, Any] = self.client.get(location).json()
        assert answer["state"] == state, answer
        return answer

    @contextmanager
    def working(self) -> Iterator[None]:
        """Let the runner work."""
        stop = threading.Event()
        thread = threading.Thread(target=self.runner.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def restarted(self, instance: str = "one") -> "Scene":
        return scene_of(self.home, instance)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    suspicious_by_everything(Packages(folder / "models"))
    return folder


@pytest.fixture
def scene(home: Path) -> Iterator[Scene]:
    yield scene_of(home, "one")
    shutil.rmtree(home / "jobs", ignore_errors=True)


def scene_of(home: Path, instance: str) -> Scene:
    packages, clock = Packages(home / "models"), ManualClock(NOW)
    model = loaded(packages, packages.manifest("fraud", 1))
    limits = JobLimits(running_max=1, waiting_max=2, kept_for=KEPT_FOR)
    runner = JobRunner(home, clock, limits, instance=instance, tracking_uri=None)
    app = DescribedApi(schemas=JOB_SCHEMAS, title="Headrace scoring", description="Files.")
    in_force = InForce(lambda: Roles(model), lambda: POLICY, lambda: [BLOCKED], "review")
    job_routes(app, runner, in_force, bytes_max=BYTES_MAX)
    return Scene(home, TestClient(app), runner, clock)


def json_lines(rows: list[dict[str, Any]]) -> bytes:
    return b"\n".join(msgspec.json.encode(row) for row in rows)


def many() -> bytes:
    """More than is decided before anybody can intervene."""
    return json_lines([row | {"attributes": {}} for row in payments(4_000, days=2_000)])


def test_a_file_is_decided_and_its_decisions_can_be_fetched_until_they_expire(scene: Scene, tmp_path: Path) -> None:
    rows = [{"PAID" if name == "amount" else name: cell for name, cell in row.items()} for row in FEW]
    rows[5]["mcc"] = "many"
    file = written(tmp_path / "in.csv", rows)
    with scene.working():
        location = scene.submitted(file.read_bytes(), format="csv", result="jsonl", map=["amount=PAID"])
        job = scene.ended(location, "done")
        assert (job["decided"], job["refused"], job["fraction"], job["history"]) == (59, 1, 1.0, "file")
        assert sum(job["verdicts"].values()) == 59
        assert (job["model_version"], job["policy_version"]) == (1, POLICY.version)
        assert [(each["row"], each["error"]["field"]) for each in job["refusals"]] == [(6, "mcc")]
        result = scene.client.get(f"{location}/result")
        assert result.headers["content-type"] == "application/x-ndjson"
        decisions = [msgspec.json.decode(line, type=ResultRow) for line in result.content.splitlines()]
        assert [each.transaction_id for each in decisions] == [f"t{n}" for n in range(60) if n != 5]
        assert {each.model_version for each in decisions} == {1}
        assert scene.client.get(f"{location}/rejected").content.count(b"\n") == 1
        assert not list(scene.home.glob("jobs/*/*/payments.*")), "nothing needs the payments any more"
        scene.clock.advance(KEPT_FOR + timedelta(minutes=2))
        wait_until(lambda: scene.client.get(location).status_code == 404, "expired")


def test_a_job_gives_the_bytes_that_the_same_file_gives_here(scene: Scene, tmp_path: Path) -> None:
    packages = Packages(scene.home / "models")
    scoring = FileScoring(FeatureEngine(FRAUD), deciding(loaded(packages, packages.manifest("fraud", 1))))
    file, out = EventFile(written(tmp_path / "in.jsonl", FEW), fraud_column="FRAUD"), tmp_path / "out.csv"
    scoring.run(file, out=out, rejected=tmp_path / "rejected.jsonl")
    with scene.working():
        location = scene.submitted(file.file.read_bytes(), result="csv", fraud_column="FRAUD")
        scene.ended(location, "done")
    assert scene.client.get(f"{location}/result").content == out.read_bytes()


def test_what_a_file_decided_is_counted_where_it_was_handed_in(scene: Scene) -> None:
    def counted() -> float:
        names = ("headrace_decisions_total", {"degraded": "", "path": "batch", "role": "champion"})
        values = (metrics.REGISTRY.get_sample_value(names[0], names[1] | {"decision": each}) for each in VERDICTS)
        return sum(value or 0.0 for value in values)

    before = counted()
    with scene.working():
        scene.ended(scene.submitted(json_lines(FEW)), "done")
    assert counted() - before == len(FEW)


def test_a_job_that_runs_is_cancelled_and_then_removed(scene: Scene) -> None:
    with scene.working():
        location = scene.submitted(many())
        wait_until(lambda: scene.client.get(location).json()["decided"] > 0, "begun")
        assert scene.client.get(f"{location}/result").status_code == 409
        assert scene.client.delete(location).status_code == 202
        scene.ended(location, "cancelled")
        assert scene.client.delete(location).status_code == 204
        assert scene.client.get(location).status_code == 404
    assert not [path for path in scene.home.glob("jobs/one/*") if path.name != ".lock"]


def test_jobs_wait_for_each_other_and_no_more_than_may(scene: Scene) -> None:
    first, second = scene.submitted(json_lines(FEW)), scene.submitted(json_lines(FEW))
    answer = scene.submit(json_lines(FEW))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json()["error"]["code"] == "busy"
    scene.client.delete(second)
    with scene.working():
        scene.ended(second, "cancelled")
        scene.ended(first, "done")
        scene.submitted(json_lines(FEW))


def test_a_restart_interrupts_what_runs_and_keeps_what_waits(scene: Scene) -> None:
    with scene.working():
        running = scene.submitted(many())
        wait_until(lambda: scene.client.get(running).json()["decided"] > 0, "begun")
        waiting = scene.submitted(json_lines(FEW))
    assert "submit it again" in scene.client.get(running).json()["problem"]
    again = scene.restarted()
    with again.working():
        again.ended(running, "interrupted")
        again.ended(waiting, "done")


def test_what_ran_when_its_instance_was_killed_is_told_by_another(scene: Scene) -> None:
    location = scene.submitted(json_lines(FEW))
    job = scene.runner.find(location.rpartition("/")[2])
    job.write(replace(job.status, state="running"))
    other = scene.restarted("two")
    with other.working():
        other.ended(location, "interrupted")
    assert job.status.finished_at == NOW


def test_two_processes_do_not_share_an_instances_jobs(scene: Scene) -> None:
    same = scene.restarted()
    with scene.working():
        scene.ended(scene.submitted(json_lines(FEW)), "done")
        with same.working():
            wait_until(lambda: same.runner.problem() is not None, "noticed")
    assert "HEADRACE_INSTANCE must differ" in (same.runner.problem() or "")


@pytest.mark.parametrize(
    ("content", "parameters", "status", "told"),
    [
        (b"{}", {"format": "xml"}, 422, "format"),
        (b"{}", {"sort": "perhaps"}, 422, "sort"),
        (b"{}", {"mapp": "a=b"}, 422, "mapp"),
        (b"{}", {"map": "amount"}, 422, "map"),
        (b"{}", {"map": ["amount=A", "amount=B"]}, 422, "map gives amount twice"),
        (b"{}", {"map": "sum=A"}, 422, "no field 'sum'"),
        (b"{}", {"format": ["csv", "csv"]}, 422, "format"),
        (b"a,b\n1,2\n", {"format": "csv"}, 422, "map amount=COLUMN"),
        (b"a,b\n", {"format": "parquet"}, 422, "payments.parquet: not Parquet"),
        (b" " * (BYTES_MAX + 1), {}, 413, "larger than"),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    scene: Scene, content: bytes, parameters: dict[str, Any], status: int, told: str
) -> None:
    answer = scene.submit(content, **parameters)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert told in f"{error['field']} {error['message']}"
    assert str(scene.home) not in answer.text
    assert not list(scene.home.glob("jobs/one/*"))


def test_a_file_out_of_order_fails_with_its_row(scene: Scene) -> None:
    with scene.working():
        location = scene.submitted(json_lines([*FEW[1:], FEW[0]]))
        problem = scene.ended(location, "failed")["problem"]
    assert "row 60" in problem
    assert str(scene.home) not in problem


def test_without_a_model_nothing_is_taken(home: Path) -> None:
    app = DescribedApi(schemas=JOB_SCHEMAS, title="Headrace scoring", description="Files.")
    limits = JobLimits(running_max=1, waiting_max=1, kept_for=KEPT_FOR)
    runner = JobRunner(home / "none", ManualClock(NOW), limits, instance="one", tracking_uri=None)
    job_routes(app, runner, InForce(Roles, lambda: BEFORE_THE_FIRST, list, "review"), bytes_max=BYTES_MAX)
    answer = TestClient(app).post("/v1/jobs?format=jsonl", content=json_lines(FEW))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_model")


@pytest.mark.parametrize("job_id", ["..", "0", "00000000-0000-7000-8000-000000000000", ".filling-x"])
def test_there_is_no_such_job(scene: Scene, job_id: str) -> None:
    assert scene.client.get(f"/v1/jobs/{job_id}/result").status_code == 404
    with pytest.raises(FileNotFoundError):
        scene.runner.find(job_id)


def test_the_openapi_document_describes_every_path(scene: Scene) -> None:
    document = scene.client.get("/openapi.json").json()
    paths = {f"/v1/jobs{rest}" for rest in ("", "/{job_id}", "/{job_id}/result", "/{job_id}/rejected")}
    assert document["paths"].keys() == paths
    parameters = {each["name"]: each for each in document["paths"]["/v1/jobs"]["post"]["parameters"]}
    assert parameters["format"]["required"]
    assert not parameters["map"]["required"]
    assert all(each["description"] for each in parameters.values())
    assert "JobAnswer" in document["components"]["schemas"]
