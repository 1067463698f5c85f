"""Traces turned on, or not, by the settings."""

from typing import TYPE_CHECKING

from shared.runtime.settings import ServiceSettings

if TYPE_CHECKING:
    from shared.runtime.tracing.spans import Tracing


def tracing_for(service: str, settings: ServiceSettings) -> "Tracing | None":
    """Return what begins the spans of a service; None where no collector is named: then there are none."""
    if settings.headrace_traces_endpoint is None:
        return None
    from shared.runtime.tracing.export import exporting  # noqa: PLC0415 - only who traces pays for loading it

    return exporting(
        service,
        settings.headrace_instance,
        str(settings.headrace_traces_endpoint),
        sampled_share=settings.headrace_traces_sampled_share,
    )
