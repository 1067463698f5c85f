"""The folder that services load models from: whole packages only, and none that was changed."""

import threading
from pathlib import Path

import pytest

from shared.models.manifest import RECOMMENDATION, ModelManifest, RecommendationManifest
from shared.models.packages import MANIFEST_FILE, MODEL_FILE, ModelIntegrityError, Package, Packages, packed, sha256
from tests.models import flip_a_byte, manifest_of
from tests.recommenders import manifest_of as recommendation_manifest

ONNX = b"the graph"
MANIFEST = manifest_of(3, ONNX)
DIGEST = MANIFEST.model_digest
MANIFEST_DIGEST = sha256(packed(MANIFEST, ONNX).manifest)


@pytest.fixture
def packages(tmp_path: Path) -> Packages:
    made = Packages(tmp_path)
    made.add(MANIFEST, ONNX)
    return made


def test_a_package_is_loaded_as_it_was_added(packages: Packages) -> None:
    assert packages.load("fraud", 3, digest=DIGEST, manifest_digest=MANIFEST_DIGEST) == (MANIFEST, ONNX)
    assert packages.manifest("fraud", 3) == MANIFEST


def test_each_model_has_manifests_of_its_own_kind_and_nobody_is_given_another(packages: Packages) -> None:
    theirs = recommendation_manifest(ONNX, version=3)
    packages.add(theirs, ONNX)
    assert packages.load(RECOMMENDATION, 3, digest=DIGEST, kind=RecommendationManifest) == (theirs, ONNX)
    assert packages.manifest(RECOMMENDATION, 3, kind=ModelManifest) == theirs
    assert packages.manifest("fraud", 3, kind=ModelManifest) == MANIFEST
    with pytest.raises(ModelIntegrityError, match="recommendation has a RecommendationManifest"):
        packages.load(RECOMMENDATION, 3, digest=DIGEST)
    with pytest.raises(ModelIntegrityError, match="fraud has a Manifest"):
        packages.manifest("fraud", 3, kind=RecommendationManifest)


def test_versions_are_numbers_in_order_whatever_else_lies_there(packages: Packages, tmp_path: Path) -> None:
    packages.add(manifest_of(10, ONNX), ONNX)
    for other in (".writing-1x", "3.bak", "notes"):
        (tmp_path / "fraud" / other).mkdir()
    assert packages.versions("fraud") == [3, 10]
    assert packages.versions("unknown") == []


@pytest.mark.parametrize("file", [MODEL_FILE, MANIFEST_FILE])
def test_one_flipped_byte_is_refused(packages: Packages, tmp_path: Path, file: str) -> None:
    flip_a_byte(tmp_path / "fraud" / "3" / file)
    with pytest.raises(ModelIntegrityError, match=file):
        packages.load("fraud", 3, digest=DIGEST, manifest_digest=MANIFEST_DIGEST)


@pytest.mark.parametrize("file", [MODEL_FILE, MANIFEST_FILE])
def test_a_missing_file_is_refused_by_name(packages: Packages, tmp_path: Path, file: str) -> None:
    (tmp_path / "fraud" / "3" / file).unlink()
    with pytest.raises(ModelIntegrityError, match=file):
        packages.load("fraud", 3, digest=DIGEST)


def test_a_model_other_than_the_announced_one_is_refused(packages: Packages) -> None:
    for announced in ("0" * 64, None):
        with pytest.raises(ModelIntegrityError, match="register it again"):
            packages.load("fraud", 3, digest=announced)


def test_a_manifest_with_other_thresholds_is_refused_where_its_digest_was_announced(
    packages: Packages, tmp_path: Path
) -> None:
    path = tmp_path / "fraud" / "3" / MANIFEST_FILE
    path.write_text(path.read_text().replace("0.9", "0.1"))
    with pytest.raises(ModelIntegrityError, match=MANIFEST_FILE):
        packages.load("fraud", 3, digest=DIGEST, manifest_digest=MANIFEST_DIGEST)


def test_the_package_of_another_version_is_refused(packages: Packages, tmp_path: Path) -> None:
    (tmp_path / "fraud" / "3").rename(tmp_path / "fraud" / "4")
    with pytest.raises(ModelIntegrityError, match="that of fraud 3, not of fraud 4"):
        packages.load("fraud", 4, digest=DIGEST)


def test_a_version_is_never_overwritten(packages: Packages, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="fraud 3"):
        packages.add(manifest_of(3, b"other"), b"other")
    assert packages.load("fraud", 3, digest=DIGEST) == (MANIFEST, ONNX)
    assert {entry.name for entry in (tmp_path / "fraud").iterdir()} == {"3", ".lock"}


def test_a_damaged_package_is_replaced_and_nothing_stays_behind(packages: Packages, tmp_path: Path) -> None:
    flip_a_byte(tmp_path / "fraud" / "3" / MODEL_FILE)
    packages.replace("fraud", 3, packed(MANIFEST, ONNX))
    assert packages.load("fraud", 3, digest=DIGEST, manifest_digest=MANIFEST_DIGEST) == (MANIFEST, ONNX)
    assert {entry.name for entry in (tmp_path / "fraud").iterdir()} == {"3", ".lock"}


def test_processes_that_fetch_the_same_version_at_once_all_end_up_with_it(tmp_path: Path) -> None:
    packages, package = Packages(tmp_path), Package(*packed(MANIFEST, ONNX))
    troubles: list[Exception] = []

    def fetch() -> None:
        try:
            for _ in range(20):
                packages.replace("fraud", 3, package)
        except Exception as error:  # noqa: BLE001 - a thread's failure is told by the test
            troubles.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    assert packages.load("fraud", 3, digest=DIGEST) == (MANIFEST, ONNX)
    assert {entry.name for entry in (tmp_path / "fraud").iterdir()} == {"3", ".lock"}
