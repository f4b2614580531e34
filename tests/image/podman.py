"""podman with what this machine lets it do, and a base image wherever one is to be had."""

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTAINERFILE = ROOT / "deploy" / "image" / "Containerfile"
# A root file system of Debian's, kept between runs: making it takes a minute or two.
DEBIAN_IMAGE = "localhost/touchledger-test-python:bookworm"
COMMAND_SECONDS_MAX = 300
BASE_SECONDS_MAX = 600


class Podman:
    """What it makes is named touchledger-test…, and is the caller's to remove."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = dict(os.environ)

    def run(
        self, *arguments: object, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["podman", *map(str, arguments)],
            cwd=ROOT,
            env=self._environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def told(self, *arguments: object) -> str:
        return self.run(*arguments).stdout.strip()

    def base_image(self) -> tuple[str, str]:
        """An image with Python and where it comes from; "" and why there is none."""
        if named := os.environ.get("TOUCHLEDGER_TEST_PYTHON_IMAGE"):
            return named, "TOUCHLEDGER_TEST_PYTHON_IMAGE"
        (default,) = re.findall(r"^ARG PYTHON_IMAGE=(.*)$", CONTAINERFILE.read_text(), re.MULTILINE)
        for kept in (default, DEBIAN_IMAGE):
            if self.run("image", "exists", kept, check=False).returncode == 0:
                return kept, "kept by podman"
        if self.run("pull", "--quiet", default, check=False).returncode == 0:
            return default, "pulled"
        if os.geteuid() or not shutil.which("debootstrap"):
            return (
                "",
                f"{default} can't be pulled, and debootstrap (as root) is not there to make one",
            )
        with tempfile.TemporaryDirectory(dir=self._folder) as files:
            subprocess.run(
                ["debootstrap", "--variant=minbase", "--include=python3-venv", "bookworm", files],
                check=True,
                stdout=sys.stderr,
                timeout=BASE_SECONDS_MAX,
            )
            for cache in ("var/cache/apt", "var/lib/apt/lists"):
                shutil.rmtree(Path(files, cache))
            archive = self._folder / "debian.tar"
            subprocess.run(["tar", "-C", files, "-cf", archive, "."], check=True)
        self.run("import", "--quiet", archive, DEBIAN_IMAGE)
        archive.unlink()
        return DEBIAN_IMAGE, "made by debootstrap, since the default can't be pulled"

    def settle(self, image: str) -> str:
        """Finds settings with which containers start on this machine; why not, if none do."""
        # Where a hard limit may not be raised, a container can't start with podman's own, higher ones.
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        limits = f'[containers]\ndefault_ulimits = ["nofile={files}:{files}", "nproc=4096:4096"]\n'
        told = ""
        for content in ("", limits, f'{limits}[engine]\nruntime = "runc"\n'):
            if content:
                configuration = self._folder / "containers.conf"
                configuration.write_text(content)
                self._environment["CONTAINERS_CONF"] = str(configuration)
            started = self.run(*("run", "--rm", image), *("python3", "-V"), check=False)
            if started.returncode == 0:
                return ""
            told = started.stderr.strip()
        return f"podman starts no container here: {told}"

    def build(self, tag: str, *, python_image: str) -> None:
        """As `make image` does, with what pip is told on this machine in order to reach an index."""
        secrets = list[str]()
        if trusted := os.environ.get("PIP_CERT"):
            configuration = self._folder / "pip.conf"
            configuration.write_text("[global]\ncert = /run/secrets/ca.crt\n")
            secrets = [f"id=pip.conf,src={configuration}", f"id=ca.crt,src={trusted}"]
        options = " ".join(
            [
                *("--isolation chroot --build-arg", f"PYTHON_IMAGE={python_image}"),
                *(f"--secret {each}" for each in secrets),
            ]
        )
        subprocess.run(
            ["make", "image", f"IMAGE={tag}", f"ARGS={options}"],
            cwd=ROOT,
            env=self._environment,
            stdout=sys.stderr,
            check=True,
            timeout=BASE_SECONDS_MAX,
        )
