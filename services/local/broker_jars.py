"""The Kafka broker's own jars: resolved once through Maven from deploy/kafka/pom.xml, each checked by its SHA-256."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from services.local.errors import BrokerJarsError, ServerUnavailableError
from services.local.processes import ROOT
from services.local.supervisor import Say

DEPLOY = ROOT / "deploy" / "kafka"
POM = DEPLOY / "pom.xml"
DIGESTS = DEPLOY / "jars.sha256"
CACHE = ROOT / ".headrace"
"""Shared by every home of this checkout, so that nothing is resolved twice."""

JAVA_VERSION_MIN = 17
_MAVEN_SECONDS_MAX = 900.0


def find_java() -> Path:
    """Return the `java` to run the broker with: JAVA_HOME's, else the one on the PATH.

    Raises:
        ServerUnavailableError: there is none, or it is too old.
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    java = found or shutil.which("java")
    if java is None:
        raise ServerUnavailableError(f"no Java: install a JDK {JAVA_VERSION_MIN} or newer, or set JAVA_HOME")
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)  # noqa: S603
    version = re.search(r'version "(\d+)', answer.stderr)
    if version is None or int(version[1]) < JAVA_VERSION_MIN:
        first_line = answer.stderr.partition("\n")[0]
        raise ServerUnavailableError(f"{java} is {first_line}; Kafka needs Java {JAVA_VERSION_MIN} or newer")
    return Path(java)


def resolve_broker(say: Say) -> Path:
    """Return the folder of the broker's jars, resolving them first where they are not there yet.

    Raises:
        ServerUnavailableError: Maven is missing or cannot resolve them.
        BrokerJarsError: they are not the pinned ones.
    """
    if not POM.is_file():
        raise ServerUnavailableError(f"{POM} is missing: run from a checkout, or set KAFKA_BOOTSTRAP_SERVERS")
    folder = CACHE / f"kafka-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
    if not folder.is_dir():
        say("resolving the Kafka broker through Maven, 43 MB, once")
        _resolve_into(folder)
    verify_jars(folder, DIGESTS)
    return folder


def verify_jars(folder: Path, digests: Path) -> None:
    """Compare every file in `folder` with the committed list, in `sha256sum` format.

    Raises:
        BrokerJarsError: a jar is changed, missing or not listed.
    """
    lines = (line.split() for line in digests.read_text().splitlines())
    expected = {name: digest for digest, name in lines}
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    wrong = [
        *(f"{name} is missing" for name in sorted(expected.keys() - found.keys())),
        *(f"{name} is not listed" for name in sorted(found.keys() - expected.keys())),
        *(
            f"{name} has SHA-256 {found[name]}, listed is {expected[name]}"
            for name in sorted(found.keys() & expected.keys())
            if found[name] != expected[name]
        ),
    ]
    if wrong:
        raise BrokerJarsError(
            f"the broker's jars in {folder} are not those of {digests}: {'; '.join(wrong)}. "
            f"Delete that folder and try again; if it persists, do not run them"
        )


def _resolve_into(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerUnavailableError("no Maven: install it (the command `mvn`), or set KAFKA_BOOTSTRAP_SERVERS")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Gathered aside, then renamed: whoever comes at the same time sees all jars or none.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="resolving-") as aside:
        jars = Path(aside) / "jars"
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
        try:
            answer = subprocess.run(  # noqa: S603 - Maven, on our own pom
                [maven, "-q", "-B", "-f", str(POM), *goal],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_MAVEN_SECONDS_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ServerUnavailableError(f"Maven did not resolve {POM} within {error.timeout:.0f} s") from error
        if answer.returncode != 0:
            raise ServerUnavailableError(f"Maven cannot resolve {POM}: {_first_error(answer.stdout)}")
        if not folder.is_dir():
            jars.rename(folder)


def _first_error(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("[ERROR]")]
    return (errors or lines or ["it gave no reason"])[0].removeprefix("[ERROR]").strip()
