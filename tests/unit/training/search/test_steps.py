"""Steps: done once for the same inputs and the same code, and again for anything else."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from services.training.refusal import RefusedError
from services.training.search.steps import Step, Steps

DOUBLE = Step("double", ("services.training.data.folds",))


class Counted:
    """Something that takes long, and how often it was done."""

    def __init__(self, value: object = 42) -> None:
        self.value = value
        self.times = 0

    def __call__(self) -> object:
        self.times += 1
        return self.value


def kept_file(folder: Path) -> Path:
    (file,) = folder.rglob("output.pkl")
    return file


def test_the_same_work_is_done_once_and_found_by_who_opens_the_folder_later(tmp_path: Path) -> None:
    work = Counted()
    assert Steps(tmp_path).run(DOUBLE, "a", work) == (42, False)
    assert Steps(tmp_path).run(DOUBLE, "a", work) == (42, True)
    assert work.times == 1


@pytest.mark.parametrize(
    ("step", "inputs"),
    [(DOUBLE, "b"), (Step("half", DOUBLE.packages), "a"), (Step("double", ("services.training.refusal",)), "a")],
)
def test_other_inputs_steps_and_packages_are_other_work(tmp_path: Path, step: Step, inputs: str) -> None:
    steps = Steps(tmp_path)
    steps.run(DOUBLE, "a", Counted())
    assert steps.run(step, inputs, Counted(43)) == (43, False)
    assert steps.run(DOUBLE, "a", Counted(44)) == (42, True)


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    rows = np.array([[1.0, np.nan], [np.inf, 1e-30]], dtype=np.float32)
    Steps(tmp_path).run(DOUBLE, "a", lambda: rows)
    again = Steps(tmp_path).run(DOUBLE, "a", Counted())
    assert again.reused
    np.testing.assert_array_equal(again.value, rows)


def test_an_edit_to_what_a_step_depends_on_repeats_that_step_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("trees", "charts"):
        (tmp_path / f"{name}_of_a_test").mkdir()
        (tmp_path / f"{name}_of_a_test" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    trees, charts = Step("trees", ("trees_of_a_test",)), Step("charts", ("charts_of_a_test",))
    for step in (trees, charts):
        Steps(tmp_path / "steps").run(step, "a", Counted())
    (tmp_path / "trees_of_a_test" / "leaf.py").write_text("LEAF_ROWS_MIN = 2\n")
    after = Steps(tmp_path / "steps")
    assert not after.run(trees, "a", Counted()).reused
    assert after.run(charts, "a", Counted()).reused


def test_no_damaged_byte_is_ever_taken_for_a_result(tmp_path: Path) -> None:
    steps = Steps(tmp_path)
    steps.run(DOUBLE, "a", Counted([0.5, 0.25, 0.125]))
    file = kept_file(tmp_path)
    whole = file.read_bytes()
    for place in range(0, len(whole), 3):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        assert steps.run(DOUBLE, "a", Counted([0.5, 0.25, 0.125])).value == [0.5, 0.25, 0.125]


@pytest.mark.parametrize("damage", [lambda whole: whole[:-10], lambda _: b"", lambda _: b"\x80\x05garbage"])
def test_a_damaged_result_is_worked_out_again_and_then_kept(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    steps = Steps(tmp_path)
    steps.run(DOUBLE, "a", Counted("long text" * 20))
    file = kept_file(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    work = Counted("long text" * 20)
    assert steps.run(DOUBLE, "a", work) == (work.value, False)
    assert steps.run(DOUBLE, "a", work) == (work.value, True)


def test_the_folder_does_not_grow_beyond_its_bound(tmp_path: Path) -> None:
    steps = Steps(tmp_path)
    for number in range(10):
        steps.run(DOUBLE, str(number), lambda: bytes(10_000))
    bounded = Steps(tmp_path, bytes_max=50_000)
    assert 0 < sum(file.stat().st_size for file in tmp_path.rglob("output.pkl")) <= 50_000
    assert bounded.run(DOUBLE, "9", lambda: bytes(10_000)).value == bytes(10_000)


def test_what_nobody_used_for_long_goes(tmp_path: Path) -> None:
    Steps(tmp_path).run(DOUBLE, "a", Counted())
    assert not Steps(tmp_path, age_max=timedelta(0)).run(DOUBLE, "a", Counted()).reused


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "steps").write_text("a file")
    with pytest.raises(RefusedError, match="cannot be kept") as caught:
        Steps(tmp_path / "steps")
    assert caught.value.code == "steps"
