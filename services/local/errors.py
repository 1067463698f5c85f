"""What can go wrong on one machine; each message says what, where, and what to do."""


class PlatformError(Exception):
    """The local platform cannot do what was asked."""


class ServerUnavailableError(PlatformError):
    """A broker or a store cannot be run on this machine; the in-memory ones can stand in."""


class BrokerJarsError(PlatformError):
    """The broker's jars are not the ones this release was tested with; they are not run."""


class ProcessFailedError(PlatformError):
    """A process ended, or did not become ready in time."""
