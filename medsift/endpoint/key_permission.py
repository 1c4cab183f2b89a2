"""Decide which environment variable may go to which address: the user says so, never a recipe.

A recipe names both, and may come from anyone. So a key leaves only where the rules here, or the
user's own environment, bind its variable to the address.
"""

from __future__ import annotations

import os
import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from medsift.errors import UsageError

PERMITTED: Final = "MEDSIFT_ENDPOINT_KEYS"
"""Environment variable with pairs VARIABLE@host, separated by blanks or commas."""
NEVER: Final = re.compile(
    r"(?:AWS|HF|HUGGING_FACE|HUGGINGFACE|HUGGINGFACEHUB|RAY)_.*|MEDSIFT_ENDPOINT_KEYS"
)
"""Variables that open the data and the cluster of a run; they are no keys of an endpoint."""
OWN: Final = re.compile(r"MEDSIFT_\w+|OPENAI_API_KEY")
"""Variables that are set for endpoints alone; these may go to an endpoint on this machine."""
BY_CUSTOM: Final = {("OPENAI_API_KEY", "api.openai.com")}
"""Pairs that nobody has to name; over https alone."""


def never_sent(variable: str) -> bool:
    """Return whether a variable is no key of an endpoint, whatever the user permits."""
    return NEVER.fullmatch(variable) is not None


def check_permitted(variable: str, url: str) -> None:
    """Raise UsageError where `variable` is set and nothing but a recipe would send it to `url`."""
    if not os.environ.get(variable, "").strip():
        return
    host = (urlsplit(url).hostname or "").lower()
    if not never_sent(variable) and _permitted(variable, host, url):
        return
    how = f"set {PERMITTED}={variable}@{host} where the requests are sent to allow it, or name"
    raise UsageError(
        f"the recipe would send ${variable} to {host}: "
        f"{'name' if never_sent(variable) else how} under key_variable one that is unset or meant "
        "for it",
        code="endpoint_key_invalid",
        variable=variable,
        host=host,
    )


def _permitted(variable: str, host: str, url: str) -> bool:
    pairs = (pair.partition("@") for pair in re.split(r"[\s,]+", os.environ.get(PERMITTED, "")))
    named = {(name, address.lower()) for name, _, address in pairs}
    by_custom = (variable, host) in BY_CUSTOM and url.lower().startswith("https://")
    local = OWN.fullmatch(variable) is not None and _on_this_machine(host)
    return (variable, host) in named or by_custom or local


def _on_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
