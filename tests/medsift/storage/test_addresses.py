"""No URL of a recipe or of data leads to the services of the machine's own host."""

from __future__ import annotations

import socket

import pyarrow as pa
import pytest

from evaluation.generators.endpoint import EndpointGenerator
from medsift.storage.addresses import leads_to_host_services
from medsift.storage.connect import connect
from medsift.storage.locations import filesystem, open_input
from tests.expect import raises_code

HOST = [
    "169.254.169.254",
    "2852039166",
    "0xA9FEA9FE",
    "169.254.1",
    "[fe80::1]",
    "[::ffff:169.254.169.254]",
    "[fd00:ec2::254]",
    "100.100.100.200",
    "224.0.0.1",
]
OTHERS = ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "192.168.1.5", "8.8.8.8", "no.such.host."]


@pytest.mark.parametrize("host", HOST)
def test_however_the_address_is_spelt(host):
    assert leads_to_host_services(host)
    url = f"s3://bucket/a.png?endpoint_override={host}&scheme=http"
    for use in (filesystem, open_input, connect):
        with raises_code("location_unsupported"):
            use(url)
    for scheme in ("http", "https"):
        model = EndpointGenerator(url=f"{scheme}://{host}:80/v1", model="a")
        with raises_code("endpoint_url_invalid"):
            model.build(pa.table({}))


@pytest.mark.parametrize("host", OTHERS)
def test_own_servers_and_names_that_lead_nowhere_are_allowed(host):
    assert not leads_to_host_services(host)


def test_a_name_that_resolves_there_is_one(monkeypatch):
    def resolved(*_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, 1, 6, "", ("169.254.169.254", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    assert leads_to_host_services("store.example")
    with raises_code("location_unsupported"):
        filesystem("s3://bucket/a?endpoint_override=store.example:80")
