"""Rules, dashboard and runbook hold together; promtool's own word where it is installed."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
OBSERVABILITY = ROOT / "deploy" / "observability"
RUNBOOK = ROOT / "docs" / "runbook.md"
# `make test/operations` fetches one.
PROMTOOL = os.environ.get("PROMTOOL") or shutil.which("promtool")


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((OBSERVABILITY / "alerts.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_each_alert_has_a_section_in_the_runbook_and_no_section_is_of_another() -> None:
    assert [rule["alert"] for rule in rules()] == [*sections()]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_leads_to_its_section(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


@pytest.mark.parametrize(("alert", "text"), sections().items())
def test_a_section_says_where_to_look_and_what_helps(alert: str, text: str) -> None:
    assert "* Look: " in text
    assert "* Helps: " in text


def test_each_alert_is_tested_to_fire_and_to_stay_silent() -> None:
    document = yaml.safe_load((OBSERVABILITY / "alerts_test.yml").read_text())
    fires, silent = list[str](), list[str]()
    for test in document["tests"]:
        for asked in test["promql_expr_test"]:
            alert = re.findall(r'alertname="(\w+)"', asked["expr"])
            (fires if asked["exp_samples"] else silent).extend(alert)
    wanted = [rule["alert"] for rule in rules()]
    # Of several cases of one, the order is that of the rules, too.
    assert (wanted, wanted) == ([*dict.fromkeys(fires)], [*dict.fromkeys(silent)])


@pytest.mark.parametrize(
    "command",
    [
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
        ("check", "config", "prometheus.yml"),
    ],
    ids=" ".join,
)
def test_promtool_agrees(command: tuple[str, ...]) -> None:
    if not PROMTOOL:
        pytest.skip("no promtool: install Debian's package prometheus, or `make test/operations`")
    done = subprocess.run(
        [PROMTOOL, *command], cwd=OBSERVABILITY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_dashboard_s_panels_have_ids_of_their_own_and_lie_beside_each_other() -> None:
    dashboard = json.loads((OBSERVABILITY / "dashboard.json").read_text())
    panels = dashboard["panels"]
    assert len(panels) == len({panel["id"] for panel in panels})
    taken = set[tuple[int, int]]()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_a_dashboard_asks_whichever_prometheus_is_chosen() -> None:
    dashboard = json.loads((OBSERVABILITY / "dashboard.json").read_text())
    assert [each["name"] for each in dashboard["templating"]["list"]] == ["datasource"]
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert target["expr"]
            assert target["legendFormat"]
