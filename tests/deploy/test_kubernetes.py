"""The rendered manifests are valid, hardened, and agree with the services and with each other."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from semantic_palette.manifest import manifest_digest
from semantic_palette_services.runtime.store import BundleReference
from semantic_palette_services.server.health import LIVENESS, READINESS
from semantic_palette_services.server.settings import ServerSettings

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
MODEL_STORE = ROOT / "model_store"
RENDERINGS = [KUBERNETES / "base", *sorted((KUBERNETES / "overlays").iterdir())]

Manifest = dict[str, Any]
RunTool = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module", params=RENDERINGS, ids=lambda folder: folder.name)
def rendered(request: pytest.FixtureRequest, run_tool: RunTool) -> str:
    """One rendering of the base or of an overlay."""
    result = run_tool("kubectl", "kustomize", request.param)
    assert result.returncode == 0, result.stderr
    assert not result.stderr, "kustomize warns"
    return result.stdout


@pytest.fixture(scope="module")
def manifests(rendered: str) -> list[Manifest]:
    """The objects of one rendering."""
    return list(yaml.safe_load_all(rendered))


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def pods(manifests: list[Manifest]) -> Iterator[tuple[Manifest, Manifest]]:
    """The pod template's spec and the only container of every Deployment."""
    for deployment in of_kind(manifests, "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        yield pod, container


def test_every_rendering_is_valid_kubernetes(rendered: str, run_tool: RunTool, tmp_path: Path) -> None:
    path = tmp_path / "rendered.yaml"
    path.write_text(rendered)

    result = run_tool(Path(sys.executable).parent / "kubernetes-validate", "--strict", path)

    assert result.returncode == 0, result.stdout + result.stderr


def test_writer_of_the_model_store_is_valid_and_uses_its_claim(run_tool: RunTool) -> None:
    path = KUBERNETES / "model-store-writer.yaml"
    pod = yaml.safe_load(path.read_text())
    claim = yaml.safe_load((KUBERNETES / "base" / "model-store.yaml").read_text())

    result = run_tool(Path(sys.executable).parent / "kubernetes-validate", "--strict", path)

    assert result.returncode == 0, result.stdout + result.stderr
    (volume,) = pod["spec"]["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def test_base_has_a_deployment_and_a_headless_service_for_each_service(run_tool: RunTool) -> None:
    manifests = list(yaml.safe_load_all(run_tool("kubectl", "kustomize", KUBERNETES / "base").stdout))

    for kind in ("Deployment", "Service"):
        names = {manifest["metadata"]["name"] for manifest in of_kind(manifests, kind)}
        assert names == {"palette", "layout", "image", "factory"}


def test_single_node_is_one_process_behind_every_service_name(run_tool: RunTool) -> None:
    overlay = KUBERNETES / "overlays" / "single-node"
    manifests = list(yaml.safe_load_all(run_tool("kubectl", "kustomize", overlay).stdout))

    (deployment,) = of_kind(manifests, "Deployment")

    assert deployment["spec"]["replicas"] == 1
    assert len(of_kind(manifests, "Service")) == 4


def test_containers_are_confined(manifests: list[Manifest]) -> None:
    for pod, container in pods(manifests):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_containers_are_limited(manifests: list[Manifest]) -> None:
    for _, container in pods(manifests):
        for bound in ("requests", "limits"):
            assert set(container["resources"][bound]) == {"cpu", "memory"}


def test_model_store_is_mounted_read_only(manifests: list[Manifest]) -> None:
    for pod, container in pods(manifests):
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert mounts["/model_store"]["readOnly"] is True
        (store,) = [volume for volume in pod["volumes"] if volume["name"] == mounts["/model_store"]["name"]]
        (claim,) = of_kind(manifests, "PersistentVolumeClaim")
        assert store["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def test_services_are_headless_and_lead_to_one_deployment(manifests: list[Manifest]) -> None:
    templates = [deployment["spec"]["template"] for deployment in of_kind(manifests, "Deployment")]
    for service in of_kind(manifests, "Service"):
        spec = service["spec"]
        assert spec["clusterIP"] == "None"
        (template,) = [
            template for template in templates if spec["selector"].items() <= template["metadata"]["labels"].items()
        ]
        ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in spec["ports"]} <= ports


def test_deployments_select_their_own_pods(manifests: list[Manifest]) -> None:
    for deployment in of_kind(manifests, "Deployment"):
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()


@pytest.fixture
def settings(manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch) -> list[tuple[Manifest, ServerSettings]]:
    """Every pod, with the settings that its container starts with."""
    (config,) = of_kind(manifests, "ConfigMap")
    result = []
    for pod, container in pods(manifests):
        assert container["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]
        entries = [entry for entry in container["env"] if not entry["name"].startswith("OTEL_")]
        environment = config["data"] | {entry["name"]: entry["value"] for entry in entries}
        assert {name.removeprefix("SEMANTIC_PALETTE_").lower() for name in environment} <= set(
            ServerSettings.model_fields
        )
        command, *options = container["args"]
        assert command == "serve"
        arguments = dict(option.removeprefix("--").replace("-", "_", 1).split("=") for option in options)
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            result.append((pod, ServerSettings(**arguments)))
    return result


def test_every_service_is_served_where_its_name_leads(
    manifests: list[Manifest], settings: list[tuple[Manifest, ServerSettings]]
) -> None:
    served = [set(chosen.services) for _, chosen in settings]
    labels = [deployment["spec"]["template"]["metadata"]["labels"] for deployment in of_kind(manifests, "Deployment")]
    for service in of_kind(manifests, "Service"):
        selector = service["spec"]["selector"]
        (services,) = [names for names, own in zip(served, labels, strict=True) if selector.items() <= own.items()]
        assert {service["metadata"]["name"], "palette"} <= services, "a client asks its address for the label space"


def test_ports_are_those_that_are_served(settings: list[tuple[Manifest, ServerSettings]]) -> None:
    for pod, chosen in settings:
        ports = {port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]}
        assert ports == {"grpc": chosen.port, "health": chosen.health_port, "metrics": chosen.metrics_port}


def test_probes_ask_the_health_port_for_its_services(settings: list[tuple[Manifest, ServerSettings]]) -> None:
    for pod, chosen in settings:
        expected = {"startupProbe": READINESS, "readinessProbe": READINESS, "livenessProbe": LIVENESS}
        for probe, service in expected.items():
            assert pod["containers"][0][probe]["grpc"] == {"port": chosen.health_port, "service": service}


def test_pods_have_time_to_drain(settings: list[tuple[Manifest, ServerSettings]]) -> None:
    for pod, chosen in settings:
        assert pod["terminationGracePeriodSeconds"] > chosen.pre_stop_delay + chosen.drain_grace


def test_traces_are_told_apart_by_service(manifests: list[Manifest]) -> None:
    for deployment in of_kind(manifests, "Deployment"):
        template = deployment["spec"]["template"]
        (container,) = template["spec"]["containers"]
        (name,) = [entry for entry in container["env"] if entry["name"] == "OTEL_SERVICE_NAME"]
        label = re.fullmatch(r"metadata\.labels\['(.*)'\]", name["valueFrom"]["fieldRef"]["fieldPath"])
        assert label is not None
        assert label[1] in template["metadata"]["labels"]


def test_engines_compute_with_as_many_threads_as_the_pod_has_cores(
    settings: list[tuple[Manifest, ServerSettings]],
) -> None:
    for pod, chosen in settings:
        if chosen.models:
            assert str(chosen.engine_threads) == pod["containers"][0]["resources"]["limits"]["cpu"]


def test_bundle_is_pinned_to_the_manifest_in_the_model_store() -> None:
    line, *_ = re.findall(r"^SEMANTIC_PALETTE_BUNDLE=(.*)$", (KUBERNETES / "base" / "settings.env").read_text(), re.M)
    reference = BundleReference.parse(line)
    manifest = MODEL_STORE / str(reference.name) / (reference.version or "1") / "manifest.json"
    if not manifest.exists():
        pytest.skip(f"{manifest.relative_to(MODEL_STORE.parent)} is not in this checkout")

    pin = f"{reference.name}/{manifest.parent.name}@{manifest_digest(manifest)}"

    assert line == pin, f"write SEMANTIC_PALETTE_BUNDLE={pin} in deploy/kubernetes/base/settings.env"


def test_addresses_name_a_service_and_its_port(manifests: list[Manifest]) -> None:
    known = {
        f"dns:///{service['metadata']['name']}:{port['port']}"
        for service in of_kind(manifests, "Service")
        for port in service["spec"]["ports"]
        if port["name"] == "grpc"
    }
    for _, container in pods(manifests):
        addresses = {argument.partition("=")[2] for argument in container["args"] if "-address=" in argument}
        assert addresses <= known
