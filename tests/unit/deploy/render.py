"""Renders deploy/k8s by kubectl: python -m tests.unit.deploy.render writes deploy/k8s/rendered."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tests.unit.deploy.manifests import K8S, RENDERED, ROOT, TARGETS

# The first with components that kubectl brings in all supported versions.
KUSTOMIZE_VERSION_MIN = 5
RENDER_SECONDS_MAX = 60
ALERTS = K8S / "components" / "prometheus" / "alerts.yaml"
HEADER = "# Written by `make rendered`: edit what it is rendered from.\n"


def missing() -> str:
    """Why nothing can be rendered here; "" where it can."""
    if not shutil.which("kubectl"):
        return "no kubectl on the PATH to render deploy/k8s with"
    asked = ["kubectl", "version", "--client", "--output=json"]
    told = subprocess.run(asked, capture_output=True, timeout=RENDER_SECONDS_MAX, check=True)
    version = json.loads(told.stdout).get("kustomizeVersion", "v0")
    if int(version.lstrip("v").partition(".")[0]) < KUSTOMIZE_VERSION_MIN:
        return f"kubectl has kustomize {version}, want {KUSTOMIZE_VERSION_MIN} or newer"
    return ""


def render(folder: Path) -> str:
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, timeout=RENDER_SECONDS_MAX
    )
    # Deprecated fields are only warned of.
    assert (b"", 0) == (done.stderr, done.returncode)
    return done.stdout.decode()


def alerts() -> str:
    """The alert rules as the Prometheus operator takes them; kustomize reads no file from outside."""
    rules = yaml.safe_load((ROOT / "deploy" / "observability" / "alerts.yml").read_text())
    about = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule"}
    named = {**about, "metadata": {"name": "touchledger"}, "spec": rules}
    text: str = yaml.safe_dump(named, sort_keys=False, allow_unicode=True, width=110)
    return "# Written by `make rendered` from deploy/observability/alerts.yml.\n" + text


def main() -> None:
    if reason := missing():
        sys.exit(reason)
    ALERTS.write_text(alerts())
    for target, folder in TARGETS.items():
        (RENDERED / f"{target}.yaml").write_text(HEADER + render(folder))


if __name__ == "__main__":
    main()
