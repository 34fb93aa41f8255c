"""Addresses of other services."""

from __future__ import annotations

import pytest

from semantic_palette_services.grpc_options import channel_target


@pytest.mark.parametrize("address", ["layout:50051", "10.0.0.1:50051", "[::1]:50051", "layout.svc.local:50051"])
def test_a_host_and_port_is_resolved_by_dns_so_that_every_replica_is_found(address: str) -> None:
    assert channel_target(address) == f"dns:///{address}"


@pytest.mark.parametrize("target", ["dns:///layout:50051", "unix:/tmp/socket", "unix:socket", "ipv4:10.0.0.1:50051"])
def test_a_target_is_taken_as_it_is(target: str) -> None:
    assert channel_target(target) == target
