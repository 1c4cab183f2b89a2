"""Connect to the object store of a URL, with the credentials of the environment or a profile."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from medsift.errors import InputError, StorageError
from medsift.storage.locations import refuse_secrets, scheme, store_settings
from medsift.storage.object_store import RETRIES, ObjectStore

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

S3: Final = "s3"
WRITTEN: Final = (S3, "gs", "az")
"""Schemes of stores that create and swap a key in one step."""


def connect(url: str) -> ObjectStore:
    """Return the store of a URL, for the keys below its path.

    An S3 server of one's own is named in the URL (``?endpoint_override=HOST:PORT&scheme=http``) or
    by AWS_ENDPOINT_URL.

    Raises:
        InputError: a URL with credentials in it, or of a store that cannot swap a key.
        StorageError: there are no credentials, or no such server.
    """
    refuse_secrets(url)
    kind = scheme(url)
    if kind not in WRITTEN:
        message = f"{url!r} cannot be written to safely: use a folder, or one of " + ", ".join(
            f"{name}://" for name in WRITTEN
        )
        raise InputError(message, code="location_unsupported", location=url)
    parts = urlsplit(url)
    client = _client(os.getpid(), kind, parts.netloc, tuple(sorted(store_settings(url).items())))
    return ObjectStore(client, f"{kind}://{parts.netloc}", parts.path.strip("/"))


@lru_cache(maxsize=64)
def _client(process: int, kind: str, bucket: str, settings: tuple[tuple[str, str], ...]) -> Client:
    """Connect once in a process; one that was forked needs a client of its own."""
    chosen = dict(settings)
    try:
        if kind == S3:
            return _s3(bucket, chosen)
        from obstore.store import from_url

        return from_url(f"{kind}://{bucket}", retry_config=RETRIES)  # type: ignore[no-any-return, call-overload]
    except (ValueError, OSError) as error:
        message = f"cannot open {kind}://{bucket}: {error}; check its settings in the environment"
        raise StorageError(message, code="store_unreachable", location=bucket) from error


def _s3(bucket: str, settings: Mapping[str, str]) -> Client:
    from obstore.store import S3Store

    options: dict[str, Any] = {}
    if "endpoint_override" in settings:
        protocol = settings.get("scheme", "https")
        options["endpoint"] = f"{protocol}://{settings['endpoint_override']}"
        options["client_options"] = {"allow_http": protocol == "http"}
    if "region" in settings:
        options["region"] = settings["region"]
    elif not {"AWS_REGION", "AWS_DEFAULT_REGION"} & set(os.environ):
        options["region"] = "us-east-1"
    if "AWS_ACCESS_KEY_ID" not in os.environ:
        options |= _profile(bucket)
    return S3Store(bucket, retry_config=RETRIES, **options)  # type: ignore[arg-type]


def _profile(bucket: str) -> dict[str, Any]:
    """Return where credentials come from when the environment has no keys: files and roles."""
    from boto3.session import Session
    from botocore.exceptions import BotoCoreError
    from obstore.auth.boto3 import Boto3CredentialProvider

    try:
        session = Session()
        if session.get_credentials() is None:
            message = (
                f"there are no credentials for s3://{bucket}: set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE for a profile of ~/.aws/credentials"
            )
            raise StorageError(message, code="store_refused", location=f"s3://{bucket}")
        provider = Boto3CredentialProvider(session)
    except BotoCoreError as error:
        message = f"cannot read the credentials for s3://{bucket}: {error}; correct the profile"
        raise StorageError(message, code="store_refused", location=f"s3://{bucket}") from error
    region = {"region": session.region_name} if session.region_name else {}
    return {"credential_provider": provider, **region}
