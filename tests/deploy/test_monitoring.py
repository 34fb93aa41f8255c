"""Prometheus's files are valid, its alerts fire when they should, and everything they name is really exported."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from semantic_palette.pair import Adherence
from semantic_palette_services.runtime.observer import ExecutedBatch
from semantic_palette_services.server.metrics import PREFIX, Metrics
from semantic_palette_services.server.settings import ServerSettings

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
PAGE = (ROOT / "docs" / "metrics.md").read_text()
CONFIGS = ["prometheus.yml", "prometheus-kubernetes.yml"]

RunTool = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """Every sample name that a server exports once it has served something, with its labels."""
    metrics = Metrics()
    metrics.queue_depth("image", 1)
    metrics.batch_executed(ExecutedBatch(model="image", seconds=0.1, queue_seconds=[0.1], spans=[None], span=None))
    metrics.shed("image", "queue_full")
    metrics.reloaded("tls", ok=False)
    metrics.certificate_in_use("tls", datetime(2040, 1, 1, tzinfo=UTC))
    metrics.of_bundle("tiny", "1", ["sky", "road"]).layout_served(
        Adherence.NATURAL, np.ones(2) / 2, np.ones(2) / 2, 0.0
    )
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    samples = [sample for family in families for sample in family.samples]
    return {sample.name: set(sample.labels) for sample in samples}


@pytest.mark.parametrize("config", CONFIGS)
def test_configuration_is_valid(config: str, run_tool: RunTool) -> None:
    result = run_tool("promtool", "check", "config", MONITORING / config)
    assert result.returncode == 0, result.stdout + result.stderr


def test_alerts_fire_when_they_should_and_only_then(run_tool: RunTool) -> None:
    result = run_tool("promtool", "test", "rules", MONITORING / "rules_test.yml")
    assert result.returncode == 0, result.stdout + result.stderr


def rules() -> list[dict[str, str]]:
    (group,) = yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"]
    return list(group["rules"])


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_alerts_use_metrics_and_labels_that_are_exported(rule: dict[str, str], exported: dict[str, set[str]]) -> None:
    grouped = {label for match in re.findall(r"by \((.*?)\)", rule["expr"]) for label in match.split(", ")}
    selectors = re.findall(r"(semantic_palette_\w+)(?:\{(.*?)\})?", rule["expr"])

    assert selectors
    for name, matchers in selectors:
        assert name in exported
        assert set(re.findall(r"(\w+)!?=", matchers)) | grouped <= exported[name]


def test_advice_of_the_alerts_names_metrics_that_are_exported(exported: dict[str, set[str]]) -> None:
    rules_text = (MONITORING / "rules.yml").read_text()
    assert set(re.findall(r"semantic_palette_\w+", rules_text)) <= set(exported)


@pytest.mark.parametrize("config", CONFIGS)
def test_scraped_port_is_the_one_that_is_served(config: str) -> None:
    (job,) = yaml.safe_load((MONITORING / config).read_text())["scrape_configs"]
    ports = {int(target.rpartition(":")[2]) for static in job.get("static_configs", []) for target in static["targets"]}
    ports |= {discovery["port"] for discovery in job.get("dns_sd_configs", [])}

    assert ports == {ServerSettings.model_fields["metrics_port"].default}


def test_the_page_of_metrics_is_what_the_registry_has() -> None:
    program = ROOT / "scripts" / "metrics_page.py"
    written = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=120, check=True).stdout
    assert (ROOT / "docs" / "metrics.md").read_text() == written, "docs/metrics.md is stale: run make metrics"


def test_the_page_lists_every_metric_that_is_exported(exported: dict[str, set[str]]) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:counter|gauge|histogram) \|.*?\| (.*?) \|", PAGE, flags=re.MULTILINE)
    documented = {f"{PREFIX}_{name}": set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    for sample, labels in exported.items():
        if sample.startswith(PREFIX) and not sample.endswith("_created"):
            metric = sample if sample in documented else re.sub(r"_(bucket|sum|count)$", "", sample)
            assert labels - {"le"} == documented[metric], sample


def test_every_metric_has_a_meaning_and_says_it_as_a_sentence() -> None:
    meanings = re.findall(r"^\| `\w+` \| (?:counter|gauge|histogram) \|.*\| (.*) \|$", PAGE, flags=re.MULTILINE)
    assert len(meanings) > 20
    assert [meaning for meaning in meanings if not re.fullmatch(r"[A-Z0-9].{4,}\.", meaning)] == []


def test_questions_of_the_documentation_can_be_asked(run_tool: RunTool, tmp_path: Path) -> None:
    (block,) = re.findall(r"```promql\n(.*?)```", (ROOT / "docs" / "monitoring.md").read_text(), flags=re.DOTALL)
    questions = re.findall(r"^[^#\s].*(?:\n .*)*", block, flags=re.MULTILINE)
    assert len(questions) > 5
    rules = [{"record": f"question:{number}", "expr": question} for number, question in enumerate(questions)]
    path = tmp_path / "questions.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "questions", "rules": rules}]}))
    result = run_tool("promtool", "check", "rules", path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("page", ["monitoring.md", "serving.md", "deploy.md"])
def test_documentation_names_metrics_that_exist(page: str) -> None:
    names = set(re.findall(rf"{PREFIX}_\w+", (ROOT / "docs" / page).read_text()))
    documented = set(re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE))
    bases = {re.sub(r"_(bucket|sum|count)$", "", name.removeprefix(f"{PREFIX}_")) for name in names}
    # Packages and settings begin like metrics.
    assert bases - documented <= {"services", "training", ""}
