"""Only the pinned jars run."""

import hashlib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from services.local import broker_jars
from services.local.broker_jars import DIGESTS, POM, find_java, resolve_broker, verify_jars
from services.local.errors import BrokerJarsError, ServerUnavailableError


@pytest.fixture
def jars(tmp_path: Path) -> Path:
    folder = tmp_path / "jars"
    folder.mkdir()
    for name in ("kafka.jar", "log4j.jar"):
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.fixture
def listing(jars: Path, tmp_path: Path) -> Path:
    path = tmp_path / "jars.sha256"
    path.write_text("".join(f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}\n" for jar in jars.iterdir()))
    return path


def test_the_listed_jars_pass(jars: Path, listing: Path) -> None:
    verify_jars(jars, listing)


def test_a_changed_jar_is_refused_by_name(jars: Path, listing: Path) -> None:
    (jars / "kafka.jar").write_bytes(b"something else")
    with pytest.raises(BrokerJarsError, match=r"kafka\.jar has SHA-256 .*, listed is"):
        verify_jars(jars, listing)


def test_a_jar_nobody_listed_is_refused(jars: Path, listing: Path) -> None:
    (jars / "stowaway.jar").write_bytes(b"")
    with pytest.raises(BrokerJarsError, match=r"stowaway\.jar is not listed"):
        verify_jars(jars, listing)


def test_a_missing_jar_is_refused(jars: Path, listing: Path) -> None:
    (jars / "log4j.jar").unlink()
    with pytest.raises(BrokerJarsError, match=r"log4j\.jar is missing"):
        verify_jars(jars, listing)


def test_the_committed_list_goes_with_the_committed_pom() -> None:
    listed = {line.split()[1] for line in DIGESTS.read_text().splitlines()}
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    for dependency in ET.parse(POM).iterfind("m:dependencies/m:dependency", space):  # noqa: S314 - our own file
        artifact, version = (dependency.findtext(f"m:{part}", namespaces=space) for part in ("artifactId", "version"))
        assert f"{artifact}-{version}.jar" in listed


def test_without_java_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(ServerUnavailableError, match="install a JDK 17 or newer"):
        find_java()


def test_a_java_that_is_too_old_is_named_with_its_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(ServerUnavailableError, match=r'version "11\.0\.2".*needs Java 17'):
        find_java()


def test_what_maven_says_reaches_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    maven = tmp_path / "mvn"
    maven.write_text("#!/bin/sh\necho '[WARNING] so slow'\necho '[ERROR] repository is away'\nexit 1\n")
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(broker_jars, "CACHE", tmp_path / "cache")
    with pytest.raises(ServerUnavailableError, match="repository is away"):
        resolve_broker(lambda _: None)
    assert list((tmp_path / "cache").iterdir()) == []
