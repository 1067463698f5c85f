"""The HTTP server speaks TLS where it is told to, and answers only clients it knows where it is told that."""

import ssl
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from shared.runtime.settings import ServiceSettings
from tests.unit.access.listening import Identity, listening, self_signed


@pytest.fixture
def server(tmp_path: Path) -> Identity:
    return self_signed(tmp_path, "server")


def trusting(server: Identity, client: Identity | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=server.certificate)
    if client is not None:
        context.load_cert_chain(client.certificate, client.key)
    return context


def get(port: int, context: ssl.SSLContext) -> httpx.Response:
    with httpx.Client(verify=context, timeout=10) as client:
        return client.get(f"https://127.0.0.1:{port}/health/live")


def test_a_client_that_trusts_the_certificate_is_answered_over_tls_and_none_without_it(
    tmp_path: Path, server: Identity
) -> None:
    with listening(
        tmp_path, headrace_tls_certificate_file=server.certificate, headrace_tls_key_file=server.key
    ) as port:
        answer = get(port, trusting(server))
        assert answer.json() == {"status": "live"}
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            get(port, ssl.create_default_context())
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/health/live", timeout=10)


def test_with_a_client_authority_only_its_clients_are_answered(tmp_path: Path, server: Identity) -> None:
    known, stranger = self_signed(tmp_path, "known"), self_signed(tmp_path, "stranger")
    with listening(
        tmp_path,
        headrace_tls_certificate_file=server.certificate,
        headrace_tls_key_file=server.key,
        headrace_tls_client_ca_file=known.certificate,
    ) as port:
        assert get(port, trusting(server, known)).status_code == 200
        for client in (None, stranger):
            with pytest.raises(httpx.TransportError):
                get(port, trusting(server, client))


def test_half_of_what_tls_needs_is_refused_at_the_start(tmp_path: Path, server: Identity) -> None:
    with pytest.raises(ValidationError, match="HEADRACE_TLS_KEY_FILE must be set"):
        ServiceSettings(headrace_tls_certificate_file=server.certificate)
    with pytest.raises(ValidationError, match="HEADRACE_TLS_CERTIFICATE_FILE must be set"):
        ServiceSettings(headrace_tls_client_ca_file=server.certificate)
    other = self_signed(tmp_path, "other")
    with pytest.raises(ValidationError, match=r"HEADRACE_TLS_\* cannot be used.*MISMATCH"):
        ServiceSettings(headrace_tls_certificate_file=server.certificate, headrace_tls_key_file=other.key)
    with pytest.raises(ValidationError, match="does not point to a file"):
        ServiceSettings(headrace_tls_certificate_file=tmp_path / "none", headrace_tls_key_file=server.key)
