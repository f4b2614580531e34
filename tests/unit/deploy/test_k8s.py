"""deploy/k8s renders to what is in rendered/, and that keeps the rules."""

import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.deploy import network_rules, platform_rules, settings_rules, workload_rules
from tests.unit.deploy.manifests import (
    BESIDE,
    K8S,
    RENDERED,
    ROOT,
    TARGETS,
    Manifests,
    name,
    objects_of,
    pod_labels,
    rendered,
    secrets_of_the_readme,
)
from tests.unit.deploy.render import ALERTS, alerts, missing, render
from tests.unit.deploy.schema_rules import fits_the_schemas
from tests.unit.deploy.settings_rules import SETTINGS, unmentioned

Rule = Callable[[Manifests], Iterator[str]]

RULES: tuple[Rule, ...] = (
    fits_the_schemas,
    *workload_rules.RULES,
    *settings_rules.RULES,
    *network_rules.RULES,
    *platform_rules.RULES,
)
BESIDE_RULES: tuple[Rule, ...] = (
    fits_the_schemas,
    workload_rules.names_are_unique_and_labelled,
    workload_rules.git_holds_no_secret,
    workload_rules.images_are_of_one_release,
    workload_rules.pods_are_restricted,
    workload_rules.resources_are_bounded,
)
SYSTEMS = tuple(target for target in TARGETS if target not in BESIDE)
FOLDERS = sorted(str(each.parent.relative_to(K8S)) for each in K8S.rglob("kustomization.yaml"))
MAKES_SECRET = re.compile(r"create secret generic ([a-z-]+)((?:\s+--from-file=\S+)+)")


@pytest.fixture(scope="session")
def kubectl() -> None:
    if reason := missing():
        pytest.skip(f"NOT CHECKED: {reason}")


@pytest.mark.usefixtures("kubectl")
@pytest.mark.parametrize("target", TARGETS)
def test_what_is_rendered_is_fresh(target: str) -> None:
    """If not: make rendered."""
    fresh = objects_of(render(TARGETS[target]))
    assert fresh == rendered(target).objects


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("target", SYSTEMS)
def test_every_render_keeps_the_rules(target: str, rule: Rule) -> None:
    assert [] == list(rule(rendered(target)))


@pytest.mark.parametrize("rule", BESIDE_RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("target", BESIDE)
def test_what_stands_beside_a_system_keeps_the_rules(target: str, rule: Rule) -> None:
    assert [] == list(rule(rendered(target)))


@pytest.mark.usefixtures("kubectl")
def test_a_restored_system_keeps_the_rules(tmp_path: Path) -> None:
    """As its README says: the component goes after cnpg in an overlay."""
    overlay = K8S / "overlays" / "single-node"
    shutil.copytree(K8S, tmp_path / "k8s")
    kustomization = tmp_path / "k8s" / "overlays" / overlay.name / "kustomization.yaml"
    after = "  - ../../components/cnpg\n"
    text = kustomization.read_text()
    assert after in text
    kustomization.write_text(text.replace(after, f"{after}  - ../../components/restored\n"))
    objects = objects_of(render(kustomization.parent))
    restored = Manifests("single-node", objects, secrets_of_the_readme())
    assert [] == [problem for rule in RULES for problem in rule(restored)]
    cluster = restored.cluster()
    assert cluster is not None
    (source,) = cluster["spec"]["externalClusters"]
    assert cluster["spec"]["bootstrap"]["recovery"]["source"] == source["name"]
    # It reads one folder of the archive and writes another.
    (plugin,) = cluster["spec"]["plugins"]
    assert "postgres" == source["plugin"]["parameters"]["serverName"]
    assert "postgres-2" == plugin["parameters"]["serverName"]


@pytest.mark.parametrize("target", ["single-node", "production"])
def test_a_database_can_be_applied_alone(target: str) -> None:
    """By the label that restore/README.md names."""
    alone = [
        each
        for each in rendered(target).objects
        if each["metadata"].get("labels", {}).get("app.kubernetes.io/name") == "postgres"
    ]
    database = {"Cluster", "Database", "ObjectStore", "ScheduledBackup", "NetworkPolicy"}
    assert database == {each["kind"] for each in alone}


def test_the_alerts_are_those_of_the_runbook() -> None:
    """If not: make rendered."""
    assert ALERTS.read_text() == alerts()


def test_a_drill_restores_what_runs() -> None:
    (drill,) = rendered("restore").of("Cluster")
    running = rendered("production").cluster()
    assert running is not None
    (source,) = drill["spec"]["externalClusters"]
    (archiver,) = running["spec"]["plugins"]
    assert source["plugin"]["name"] == archiver["name"]
    archive = {**archiver["parameters"], "serverName": name(running)}
    assert archive == source["plugin"]["parameters"]
    for field in ("imageCatalogRef", "storage", "walStorage"):
        # Volumes as large at least; in-place growth is the running one's.
        want = {k: v for k, v in running["spec"][field].items() if k != "resizeInUseVolumes"}
        assert want == drill["spec"][field]
    parameters = (each["spec"]["postgresql"]["parameters"] for each in (running, drill))
    assert 1 == len({each["max_connections"] for each in parameters})
    # A drill that archived would spoil the archive.
    assert "plugins" not in drill["spec"]


def test_the_labelled_version_is_that_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    labelled = {
        pod_labels(one).get("app.kubernetes.io/version")
        for target in TARGETS
        for one in rendered(target).of("Deployment", "Job")
    }
    assert {version} == labelled


@pytest.mark.parametrize("service", SETTINGS)
def test_settings_env_mentions_every_setting_and_no_other(service: str) -> None:
    assert [] == list(unmentioned(service))


def test_a_setting_that_settings_env_forgets_is_told() -> None:
    text = (K8S / "base" / "gateway" / "settings.env").read_text()
    line = "#TOUCHLEDGER_GATEWAY_KEY_CONCURRENT_CALLS=512"
    assert line in text
    for wrong, told in (
        (
            "",
            f"gateway/settings.env: no line {line.replace('#', '').replace('512', 'VALUE')} or {line}",
        ),
        (line.replace("512", "511"), "CALLS=511, want its default 512"),
        (f"{line}\nTOUCHLEDGER_GATEWAY_KEYS=1", "no setting TOUCHLEDGER_GATEWAY_KEYS"),
    ):
        (problem,) = unmentioned("gateway", text.replace(line, wrong))
        assert told in problem


def test_every_secret_of_the_readme_is_used() -> None:
    used = {secret for target in TARGETS for _, secret, _ in rendered(target).wanted_secrets()}
    assert used == secrets_of_the_readme().keys()


def test_the_commands_of_the_readme_make_secrets_of_its_table() -> None:
    commands = (K8S / "README.md").read_text().replace("\\\n", " ")
    made = {
        found[1]: frozenset(re.findall(r"--from-file=([^=\s]+)=", found[2]))
        for found in MAKES_SECRET.finditer(commands)
    }
    table = secrets_of_the_readme()
    assert {each[1] for each in _wanted("base")} == made.keys()
    assert all(files <= table[secret] for secret, files in made.items())
    # All that a pod of base is told to read is made.
    manifests = Manifests("base", rendered("base").objects, made)
    assert [] == list(settings_rules.settings_are_understood(manifests))


def _wanted(target: str) -> list[tuple[str, str, frozenset[str]]]:
    return list(rendered(target).wanted_secrets())


def test_every_file_is_in_the_checklist_or_told_of() -> None:
    """What a component or overlay is for, is said in the README."""
    readme = (K8S / "README.md").read_text()
    folders = [*(K8S / "components").iterdir(), *(K8S / "overlays").iterdir()]
    assert [] == [
        str(each.relative_to(K8S)) for each in folders if str(each.relative_to(K8S)) not in readme
    ]
    named = re.findall(
        r"`((?:base|components|overlays|restore|mend|samples|rendered)/[a-z0-9/._-]*)`", readme
    )
    assert named
    assert [] == [each for each in named if not (K8S / each).exists()]
    assert {f"{target}.yaml" for target in TARGETS} == {each.name for each in RENDERED.iterdir()}


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_kustomization_lists_the_files_beside_it(folder: str) -> None:
    file = K8S / folder / "kustomization.yaml"
    text = file.read_text()
    beside = [
        str(path.relative_to(file.parent))
        for path in file.parent.rglob("*")
        if path.is_file() and path.name not in ("kustomization.yaml", "README.md")
    ]
    assert [] == [each for each in beside if each not in text]
