"""Know the addresses that no recipe and no data may name: those of a machine's own services.

Link-local addresses answer without a password on machines of a cloud, and hand out the machine's
own credentials. Loopback and private addresses are allowed, as one's own servers are there.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

METADATA: Final = frozenset(
    map(ip_address, ("fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16"))
)
"""Addresses of the same services that are not link-local, by cloud."""


@lru_cache(maxsize=256)
def leads_to_host_services(host: str) -> bool:
    """Return whether a name or an address, in whatever spelling, is one of those.

    A name that cannot be resolved is none: nothing will be sent to it either.
    """
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host.strip("[]"), None)}
    except (OSError, UnicodeError):
        return False
    return any(map(_is_refused, map(ip_address, (name.partition("%")[0] for name in found))))


def _is_refused(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_link_local or address.is_multicast or address in METADATA
