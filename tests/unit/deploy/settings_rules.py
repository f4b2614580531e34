"""Manifests and settings know each other, in both directions."""

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from unittest import mock

from services.chassis.settings import ServiceSettings, is_loopback, load
from services.gateway.settings import Settings as GatewaySettings
from services.scoring.settings import Settings as ScoringSettings
from services.touchpoint.settings import Settings as TouchpointSettings
from tests.unit.deploy.manifests import K8S, Manifests, Object, container, name

SETTINGS: dict[str, type[ServiceSettings]] = {
    "touchpoint": TouchpointSettings,
    "scoring": ScoringSettings,
    "gateway": GatewaySettings,
}
# Its callers show API keys; those of the others have nothing but their certificates.
PUBLIC = "gateway"
SECRETS_DIR = "TOUCHLEDGER_SECRETS_DIR"


def variables(service: str) -> dict[str, str]:
    """The settings of a service by their variables."""
    kind = SETTINGS[service]
    prefix = str(kind.model_config["env_prefix"])
    return {f"{prefix}{field}".upper(): field for field in kind.model_fields}


def settings_are_understood(manifests: Manifests) -> Iterator[str]:
    for one in manifests.services():
        environment, files = manifests.environment(one), manifests.mounted(one)
        known = variables(name(one)).keys() | {SECRETS_DIR}
        given = {each["name"] for each in container(one).get("env", ())}
        for variable in sorted(environment.keys() - known - given):
            yield f"Deployment {name(one)}: no setting {variable}"
        for variable, value in environment.items():
            if variable.endswith("_FILE") and value not in files:
                yield f"Deployment {name(one)}: {variable}={value} is in no Secret"
        settings = settings_of(manifests, one)
        if isinstance(settings, str):
            yield f"Deployment {name(one)}: {settings}"
            continue
        for field in ("listen", "health_listen", *(("http_listen",) * (name(one) == PUBLIC))):
            if is_loopback(getattr(settings, field) or "localhost:0"):
                yield f"Deployment {name(one)}: {field} can't be reached from outside the pod"
        if not (settings.tls_cert_file and settings.tls_key_file):
            yield f"Deployment {name(one)}: listens without a certificate"
        if (settings.tls_client_ca_file is None) != (name(one) == PUBLIC):
            yield f"Deployment {name(one)}: want certificates of all callers but publishers"


def settings_of(manifests: Manifests, workload: Object) -> ServiceSettings | str:
    """The settings as the process would read them in the pod, or what it would say."""
    environment = manifests.environment(workload)
    with tempfile.TemporaryDirectory() as folder:
        for path in manifests.mounted(workload):
            if PurePosixPath(path).parent == PurePosixPath(environment.get(SECRETS_DIR, "")):
                (Path(folder) / PurePosixPath(path).name).write_text("postgresql://u:p@h/d\n")
        said = io.StringIO()
        with (
            mock.patch.dict(os.environ, {**environment, SECRETS_DIR: folder}, clear=True),
            contextlib.redirect_stderr(said),
        ):
            try:
                return load(SETTINGS[name(workload)])
            except SystemExit:
                return said.getvalue().strip()


def unmentioned(service: str, text: str | None = None) -> Iterator[str]:
    """What settings.env of a service does not say: each setting is set there, or stands with its default.

    text: instead of the file's.
    """
    text = text or (K8S / "base" / service / "settings.env").read_text()
    said: dict[str, tuple[bool, str]] = {}
    for line in text.splitlines():
        variable, equals, value = line.removeprefix("#").partition("=")
        if equals and variable.startswith("TOUCHLEDGER_"):
            said[variable] = line.startswith("#"), value
    for variable, field in variables(service).items():
        default = SETTINGS[service].model_fields[field].get_default()
        match said.pop(variable, None):
            case None if field != "database_url":  # a file of a Secret
                yield f"{service}/settings.env: no line {variable}=VALUE or #{variable}={shown(default)}"
            case (True, value) if value != shown(default):
                yield f"{service}/settings.env: #{variable}={value}, want its default {shown(default)}"
    for variable in said.keys() - {SECRETS_DIR}:
        yield f"{service}/settings.env: no setting {variable}"


def shown(default: object) -> str:
    """As an environment says it; nothing for what is not set."""
    match default:
        case None:
            return ""
        case bool():
            return str(default).lower()
        case float():
            return f"{default:g}"
    return str(default)


RULES = (settings_are_understood,)
