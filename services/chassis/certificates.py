"""Until when the certificates are good that this process has read, told as a measure.

They are read when a process starts and never again, so a renewal that no restart followed is seen here alone.
"""

from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from opentelemetry import metrics

from services.chassis import telemetry
from services.chassis.settings import ServiceSettings


def measure(settings: ServiceSettings) -> None:
    """Of each setting that names a file of certificates."""
    told = [
        metrics.Observation(expiry, {"certificate": setting})
        for setting, expiry in expiries(settings)
    ]
    telemetry.meter.create_observable_gauge(
        "touchledger.certificate.expiry",
        [lambda _: told],
        unit="s",
        description="When the certificate ends that the process has read, in Unix time.",
    )


def expiries(settings: ServiceSettings) -> Iterator[tuple[str, float]]:
    """By the name of the setting, in Unix time."""
    for setting in type(settings).model_fields:
        file = getattr(settings, setting)
        if not setting.endswith(("cert_file", "ca_file")) or not isinstance(file, Path):
            continue
        try:
            found = x509.load_pem_x509_certificates(file.read_bytes())
        except (OSError, ValueError):
            # Whoever needs the file refuses it, and says so.
            continue
        ends = [each.not_valid_after_utc.timestamp() for each in found]
        # A chain ends with the first of its certificates. Of several authorities, the new one and the one
        # before stand side by side while certificates are replaced.
        yield setting, min(ends) if setting.endswith("cert_file") else max(ends)
