"""The Deployments of deploy/k8s/base for `podman kube play`: as they are, with files where Secrets would be.

podman knows neither Secrets as volumes nor names of Services. So a Secret is a folder with the same files,
owner and modes, and the addresses of headless Services stand in the hosts file.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

BASE = Path(__file__).parents[2] / "deploy" / "k8s" / "base"
# The manifests' fsGroup, which a kubelet gives the files of Secrets to.
GROUP = 65532


def settings(service: str) -> dict[str, str]:
    lines = (BASE / service / "settings.env").read_text().splitlines()
    return dict(each.split("=", 1) for each in lines if each and not each.startswith("#"))


def deployment(service: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((BASE / service / "deployment.yaml").read_text())
    return found


def playable(
    service: str, *, image: str, secrets: Mapping[str, Path], hosts: Mapping[str, str]
) -> str:
    """YAML of the Deployment and its ConfigMap.

    secrets: the folder of each Secret; hosts: the address of each Service that it calls.
    """
    one = deployment(service)
    one["spec"]["replicas"] = 1
    pod = one["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    container["image"] = image
    # Some releases of podman would open them on this machine, where they are the same for each pod.
    container.pop("ports", None)
    pod["hostAliases"] = [{"ip": ip, "hostnames": [name]} for name, ip in hosts.items()]
    for volume in pod["volumes"]:
        if secret := volume.pop("secret", None):
            folder = secrets[secret["secretName"]]
            for file in folder.iterdir():
                os.chown(file, 0, GROUP)
                file.chmod(secret["defaultMode"])
            volume["hostPath"] = {"path": str(folder), "type": "Directory"}
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{service}-settings"},
        "data": settings(service),
    }
    return yaml.safe_dump_all([config, one])
