"""Replace ids by keyed pseudonyms: equal ids stay equal, and only the key leads back."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping

from curation.privacy.settings import PrivacyConfig
from medsift.errors import UsageError

DIGITS = 20


def read_key(variable: str, environment: Mapping[str, str] = os.environ) -> bytes | None:
    """Return the secret in an environment variable; None where it is not set."""
    secret = environment.get(variable, "")
    return secret.encode() or None


def pseudonym(key: bytes | None, domain: str, value: str, config: PrivacyConfig) -> str:
    """Return the pseudonym of an id: HMAC-SHA-256 under the key, shortened.

    Args:
        key: The secret; the same one gives the same pseudonyms in every run.
        domain: What is named, such as `patient_id`: equal ids of two domains differ.
        value: The id.
        config: Names the environment variable, for the message.

    Raises:
        UsageError: there is no key.
    """
    if key is None:
        raise UsageError(
            f"a row has a {domain}, which privacy.text=mask replaces by a keyed pseudonym, and "
            f"{config.key_variable} is not set: set it to a secret of 16 or more characters, kept "
            "outside the run",
            code="privacy_key_missing",
            variable=config.key_variable,
        )
    return f"{domain.partition('_')[0]}-{keyed_digest(key, domain, value)[:DIGITS]}"


def keyed_digest(key: bytes, *parts: str) -> str:
    """Return HMAC-SHA-256 of parts, as hex."""
    message = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def key_fingerprint(key: bytes | None) -> str | None:
    """Return what tells two keys apart and leads to neither."""
    return None if key is None else keyed_digest(key, "fingerprint")[:DIGITS]
