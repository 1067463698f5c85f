"""Is the service of this container alive? `python -m shared.runtime.healthcheck` asks, by the service's own settings.

What an image's HEALTHCHECK runs, so that it speaks TLS where the service does. Liveness needs no API key.
"""

import http.client
import ssl
import sys
from collections.abc import Mapping
from typing import NamedTuple

from shared.runtime.settings import ServiceSettings

SECONDS_MAX = 4.0
_EVERYWHERE: Mapping[str, str] = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to knock, not to bind


class Health(NamedTuple):
    """Whether the service answers, and what it said, in one line."""

    is_live: bool
    told: str


def check(settings: ServiceSettings) -> Health:
    """Ask the service that runs on this host by `settings` whether it lives; takes SECONDS_MAX at most.

    With mutual TLS its own certificate is shown. Where that is none of the clients', the service ends the connection
    behind the handshake, which it can do only while it lives.
    """
    connection = _connection(settings)
    is_known = settings.headrace_tls_client_ca_file is None
    try:
        connection.connect()
        return _ask(connection, is_known=is_known)
    except (OSError, http.client.HTTPException) as error:
        return Health(is_live=False, told=f"{connection.host}:{connection.port} does not answer: {error}")
    finally:
        connection.close()


def _ask(connection: http.client.HTTPConnection, *, is_known: bool) -> Health:
    try:
        connection.request("GET", "/health/live")
        status = connection.getresponse().status
    except (ssl.SSLError, ConnectionError) as error:
        if is_known:
            raise
        return Health(is_live=True, told=f"it refuses a client with the certificate of its own: {error}")
    return Health(status == http.client.OK, f"status {status}")


def _connection(settings: ServiceSettings) -> http.client.HTTPConnection:
    host = _EVERYWHERE.get(settings.headrace_http_host, settings.headrace_http_host)
    port = settings.headrace_http_port
    if settings.headrace_tls_certificate_file is None:
        return http.client.HTTPConnection(host, port, timeout=SECONDS_MAX)
    # It is asked on its own host, under a name that its certificate need not have.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(settings.headrace_tls_certificate_file, settings.headrace_tls_key_file)
    return http.client.HTTPSConnection(host, port, timeout=SECONDS_MAX, context=context)


def main() -> int:
    """Print how the service is, and return the exit status: 0 when it lives."""
    health = check(ServiceSettings())
    sys.stdout.write(f"{health.told}\n")
    return 0 if health.is_live else 1


if __name__ == "__main__":
    sys.exit(main())
