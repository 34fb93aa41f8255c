"""The form of addresses, and options that gRPC takes."""

import grpc
import pytest

from semantic_palette.errors import InvalidInputError
from semantic_palette.grpc_conventions import CONNECTION_OPTIONS, MAX_MESSAGE_BYTES, channel_target


@pytest.mark.parametrize("address", ["localhost:50051", "layout.default.svc:1", "10.0.0.1:65535", "[::1]:80"])
def test_a_host_and_port_is_resolved_by_name(address):
    assert channel_target(address) == f"dns:///{address}"


@pytest.mark.parametrize("target", ["unix:/tmp/s", "unix-abstract:s", "dns:///host:80", "ipv4:1.2.3.4", "ipv6:[::1]:5"])
def test_a_target_with_a_scheme_stays_as_it_is(target):
    assert channel_target(target) == target


@pytest.mark.parametrize("address", ["", "host", "host:0", "host:65536", "http://host:80", "a b:1", "host:80/path"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(InvalidInputError, match=r"address: .* HOST:PORT"):
        channel_target(address)


def test_the_options_are_those_of_a_channel():
    options = dict(CONNECTION_OPTIONS)
    assert options["grpc.max_receive_message_length"] == options["grpc.max_send_message_length"] == MAX_MESSAGE_BYTES
    grpc.insecure_channel("127.0.0.1:1", options=CONNECTION_OPTIONS).close()
