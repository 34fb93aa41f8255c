"""A distributed deployment on this machine, as deploy/kubernetes has it: a process a pod, replicas behind one name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from secret_files import TOKEN, Pki, write_tokens
from tiny_bundle import EDITING, corrupt, write_tiny_bundle

from semantic_palette.client import Credentials
from soak.pods import PORTS, Pod, free_ports

STAGE_TIMEOUT = 5
"""Seconds that a factory waits for an answer of a stage."""

_ENVIRONMENT = {
    "SEMANTIC_PALETTE_STAGE_TIMEOUT": str(STAGE_TIMEOUT),
    "SEMANTIC_PALETTE_DRAIN_GRACE": "60",
    "SEMANTIC_PALETTE_UNLOAD_DELAY": "5",
    "OMP_NUM_THREADS": "1",
}
_CORRUPT_VERSION = "3"
_PODS = 8


@dataclass
class Deployment:
    """What is soaked.

    Attributes:
        store: the model store; the bundle "tiny" has versions 1 (active), 2 and 3 (corrupt).
        palette: the palette service, the only one that factories ask.
        layouts: two replicas of the layout service. Of these and the next, the second one is what faults befall.
        images: two replicas of the image service.
        factories: two replicas of the factory.
        secure_factory: one more, with TLS.
        pki: what issues its certificate, which is called "server".
        credentials: of a caller that may do everything; all services and admin ports ask for a token.
        token_file: holds that token.
    """

    store: Path
    palette: Pod
    layouts: tuple[Pod, Pod]
    images: tuple[Pod, Pod]
    factories: tuple[Pod, Pod]
    secure_factory: Pod
    pki: Pki
    credentials: Credentials
    token_file: Path

    @property
    def secure_credentials(self) -> Credentials:
        """The same, over TLS."""
        return replace(self.credentials, ca=self.pki.ca)

    @property
    def pods(self) -> tuple[Pod, ...]:
        """All of them."""
        return (self.palette, *self.layouts, *self.images, *self.factories, self.secure_factory)

    @property
    def long_lived(self) -> tuple[Pod, ...]:
        """Those that nothing befalls."""
        return (self.layouts[0], self.images[0], self.factories[0], self.secure_factory)

    @property
    def factory_address(self) -> str:
        """gRPC target of both factories."""
        return address_of(self.factories)

    @property
    def secure_address(self) -> str:
        """gRPC target of the factory with TLS."""
        return f"127.0.0.1:{self.secure_factory.port}"

    @property
    def layout_address(self) -> str:
        """gRPC target of both layout services."""
        return address_of(self.layouts)

    @property
    def image_address(self) -> str:
        """gRPC target of both image services."""
        return address_of(self.images)


def address_of(replicas: tuple[Pod, ...]) -> str:
    """One target for all replicas, as a headless Service is."""
    return "ipv4:" + ",".join(f"127.0.0.1:{pod.port}" for pod in replicas)


@asynccontextmanager
async def deployed(folder: Path) -> AsyncIterator[Deployment]:
    """Write the bundles and start the pods; they are killed at the end."""
    store = _write_bundles(folder / "model_store")
    pki, token_file = Pki.create(folder / "pki"), folder / "token"
    token_file.write_text(TOKEN)
    tokens = write_tokens(folder / "tokens.json", {"name": "both", "token": TOKEN, "scopes": ["generate", "admin"]})
    common = _ENVIRONMENT | {
        "SEMANTIC_PALETTE_AUTH_TOKENS": str(tokens),
        "SEMANTIC_PALETTE_STAGE_TOKEN_FILE": str(token_file),
    }
    ports = iter(free_ports(PORTS * _PODS))

    def pod(name: str, services: str, *more: str, **environment: str) -> Pod:
        arguments = ("--services", services, "--model-store", str(store), "--engine", "onnxruntime", *more)
        return Pod(name, [next(ports) for _ in range(PORTS)], folder, arguments, common | environment)

    palette = pod("palette", "palette")
    layouts = (pod("layout-a", "palette,layout"), pod("layout-b", "palette,layout"))
    images = (pod("image-a", "palette,image"), pod("image-b", "palette,image"))
    stages = {"palette": (palette,), "layout": layouts, "image": images}
    options = [f"--{stage}-address={address_of(replicas)}" for stage, replicas in stages.items()]
    factories = (pod("factory-a", "palette,factory", *options), pod("factory-b", "palette,factory", *options))
    tls = {f"SEMANTIC_PALETTE_{name.upper()}": str(path) for name, path in pki.server_settings().items()}
    secure = pod("factory-tls", "palette,factory", *options, **tls)
    deployment = Deployment(
        store, palette, layouts, images, factories, secure, pki, Credentials(token=TOKEN), token_file
    )
    try:
        await asyncio.gather(*(pod.start() for pod in deployment.pods))
        yield deployment
    finally:
        for pod_ in deployment.pods:
            pod_.kill()


def _write_bundles(store: Path) -> Path:
    """Three versions of a bundle: the first is active, the third corrupt."""
    for version in ("1", "2", _CORRUPT_VERSION):
        write_tiny_bundle(store, version=version, seed=int(version), models=EDITING, activate=version == "1")
    corrupt(store / "tiny" / _CORRUPT_VERSION / "image.onnx")
    return store
