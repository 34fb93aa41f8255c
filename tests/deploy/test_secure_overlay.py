"""The overlay with TLS, tokens and network policies: every secret is mounted where the settings look for it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
OVERLAY = ROOT / "deploy" / "kubernetes" / "overlays" / "secure"
PREFIX = "SEMANTIC_PALETTE_"
KEYS = {"tls": {"tls.crt", "tls.key", "ca.crt"}, "tokens": {"tokens.json"}, "stage-token": {"token"}}
"""What docs/security.md says that the Secrets hold."""

Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def manifests(run_tool: Callable[..., subprocess.CompletedProcess[str]]) -> list[Manifest]:
    rendered = run_tool("kubectl", "kustomize", OVERLAY)
    assert rendered.returncode == 0, rendered.stderr
    return list(yaml.safe_load_all(rendered.stdout))


@pytest.fixture(scope="module")
def pods(manifests: list[Manifest]) -> dict[str, tuple[Manifest, dict[str, str]]]:
    """Pod template and environment of every Deployment."""
    (config,) = [manifest for manifest in manifests if manifest["kind"] == "ConfigMap"]
    found = {}
    for deployment in (manifest for manifest in manifests if manifest["kind"] == "Deployment"):
        pod = deployment["spec"]["template"]
        own = {
            entry["name"]: entry["value"] for entry in pod["spec"]["containers"][0].get("env", []) if "value" in entry
        }
        environment = config["data"] | own
        found[deployment["metadata"]["name"]] = (pod, environment)
    return found


def test_every_service_has_a_certificate_and_asks_for_tokens(pods: dict[str, tuple[Manifest, dict[str, str]]]) -> None:
    assert set(pods) == {"palette", "layout", "image", "factory"}
    for _, environment in pods.values():
        for setting in ("TLS_CERTIFICATE", "TLS_KEY", "AUTH_TOKENS"):
            assert environment[PREFIX + setting].startswith("/secrets/")
        assert f"{PREFIX}ALLOW_PLAINTEXT_TOKENS" not in environment
    _, factory = pods["factory"]
    assert factory[f"{PREFIX}STAGE_TOKEN_FILE"].startswith("/secrets/")
    assert factory[f"{PREFIX}STAGE_CA"].startswith("/secrets/")


def test_every_file_is_in_a_secret_that_is_mounted_whole_and_read_only(
    pods: dict[str, tuple[Manifest, dict[str, str]]],
) -> None:
    for pod, environment in pods.values():
        (container,) = pod["spec"]["containers"]
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        files = [PurePosixPath(value) for value in environment.values() if value.startswith("/secrets/")]
        assert len(files) >= 3
        for file in files:
            mount = mounts[str(file.parent)]
            assert mount["readOnly"] is True
            assert "subPath" not in mount, "what is mounted by subPath is never renewed"
            secret = volumes[mount["name"]]["secret"]
            assert file.name in KEYS[secret["secretName"]]
            assert secret["defaultMode"] == 0o440
            assert not secret.get("optional")
        assert pod["spec"]["securityContext"]["fsGroup"] == pod["spec"]["securityContext"]["runAsGroup"]


def test_only_the_factory_has_the_token_of_the_stages(pods: dict[str, tuple[Manifest, dict[str, str]]]) -> None:
    for name, (pod, _) in pods.items():
        secrets = {volume["secret"]["secretName"] for volume in pod["spec"]["volumes"] if "secret" in volume}
        assert ("stage-token" in secrets) == (name == "factory")


def test_no_secret_is_in_the_repository(manifests: list[Manifest]) -> None:
    assert not [manifest for manifest in manifests if manifest["kind"] == "Secret"]
    assert not [
        path for path in OVERLAY.rglob("*") if "PRIVATE KEY" in path.read_text() or "Bearer" in path.read_text()
    ]


def test_the_network_is_closed_but_for_clients_and_prometheus(manifests: list[Manifest]) -> None:
    policies = [manifest["spec"] for manifest in manifests if manifest["kind"] == "NetworkPolicy"]
    assert {"podSelector": {}, "policyTypes": ["Ingress"]} in policies
    opened = {
        port["port"]: rule.get("from")
        for policy in policies
        for rule in policy.get("ingress", [])
        for port in rule["ports"]
    }
    assert set(opened) == {"grpc", "metrics"}, "neither the health port nor an admin port"
    assert opened["metrics"], "metrics are for some namespace alone"


def test_policies_are_about_the_pods(
    manifests: list[Manifest], pods: dict[str, tuple[Manifest, dict[str, str]]]
) -> None:
    for policy in (manifest["spec"] for manifest in manifests if manifest["kind"] == "NetworkPolicy"):
        wanted = policy["podSelector"].get("matchLabels", {}).items()
        for pod, _ in pods.values():
            assert wanted <= pod["metadata"]["labels"].items()
