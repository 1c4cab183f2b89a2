"""Open files by local path or URL with the same few functions."""

from __future__ import annotations

import os
import re
import stat
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from medsift.errors import InputError, StorageError
from medsift.storage.addresses import leads_to_host_services

GOOGLE: Final = ("gs", "gcs")
GIVEN_UP_AFTER: Final = "20"
SECRET: Final = re.compile(r"([A-Za-z][\w+.-]*://)[^@\s'\"]*:[^@\s'\"]*@")
SECRET_SETTING: Final = re.compile(
    r"([?&][^=&\s]*(?:secret|token|password|signature|credential|_key)[^=&\s]*=)[^&\s'\"]+",
    re.IGNORECASE,
)
REMOTE: Final = ("s3", "gs", "gcs", "hdfs", "abfs", "abfss", "viewfs")

SPECIAL: Final = {
    stat.S_ISFIFO: "pipe",
    stat.S_ISSOCK: "socket",
    stat.S_ISCHR: "character device",
    stat.S_ISBLK: "block device",
}


def scheme(location: str) -> str:
    """Return the URL scheme of a location in lower case, empty for a path."""
    head, mark, _ = location.partition("://")
    return head.lower() if mark and head.replace("+", "").isalnum() else ""


def is_remote(location: str) -> bool:
    """Return whether a location is a URL of an object store rather than a local file."""
    return scheme(location) not in ("", "file")


def local_path(location: str) -> Path:
    """Return the path of a local location, which may be written as a ``file://`` URL."""
    if scheme(location) == "file":
        return Path(unquote(urlsplit(location).path))
    return Path(location)


def filesystem(url: str) -> tuple[Any, str]:
    """Return the pyarrow filesystem of a remote URL and the path inside it.

    ``?endpoint_override=…&scheme=…&region=…`` choose an S3 server; without them the environment's
    AWS_ENDPOINT_URL does. Raises InputError for a scheme that pyarrow does not serve.
    """
    refuse_secrets(url)
    parts = urlsplit(url)
    if parts.scheme.lower() not in REMOTE:
        raise InputError(
            f"{url!r} is not readable: use a local path, file:// or one of "
            + ", ".join(f"{name}://" for name in REMOTE),
            code="location_unsupported",
        )
    kind = parts.scheme.lower()
    store = _connect(kind, parts.netloc, urlencode(store_settings(url)))
    return store, (parts.netloc + parts.path).rstrip("/")


def refuse_secrets(location: str) -> str:
    """Return `location`; raise InputError, without printing it, if it has a password or a key."""
    if SECRET.search(location) or (is_remote(location) and SECRET_SETTING.search(location)):
        message = (
            f"{without_secrets(location)!r} contains credentials, which a recipe and its results "
            "would keep; give them to the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
        )
        raise InputError(message, code="credentials_in_recipe", location=without_secrets(location))
    return location


def without_secrets(text: str) -> str:
    """Return `text` with the passwords and keys of every URL in it hidden."""
    return SECRET_SETTING.sub(r"\1***", SECRET.sub(r"\1***@", text))


def with_query(url: str, like: str) -> str:
    """Return `url` with the query of the URL `like`: files of one store share its endpoint."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=urlsplit(like).query))


def without_query(url: str) -> str:
    """Return `url` without its query."""
    return urlunsplit(urlsplit(url)._replace(query=""))


def open_input(location: str) -> Any:
    """Open a location for reading, with ``seek`` and ``read``, as a binary file.

    Raises FileNotFoundError when it is not there and StorageError when the store refuses, or for a
    pipe, a device or a socket, which may give bytes without end, or none ever.
    """
    try:
        if is_remote(location):
            store, path = filesystem(location)
            return store.open_input_file(path)
        local = local_path(location)
        mode = local.stat().st_mode
        for is_special, kind in SPECIAL.items():
            if is_special(mode):
                message = f"{str(local)!r} is a {kind}, not a file; remove it from the data"
                raise StorageError(message, code="not_a_file", path=str(local))
        return local.open("rb")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError) as error:
        raise FileNotFoundError(f"no file at {location!r}") from error
    except OSError as error:
        raise StorageError(f"cannot read {location!r}: {error}", code="file_unreadable") from error


def store_settings(url: str) -> dict[str, str]:
    """Return the settings in a URL's query, with the defaults of this environment.

    Raises InputError for a server at a link-local address: a URL may come with the data.
    """
    settings = dict(parse_qsl(urlsplit(url).query))
    host = urlsplit(f"//{settings.get('endpoint_override', '').rpartition('//')[2]}").hostname
    if host and leads_to_host_services(host):
        message = (
            f"{without_secrets(url)!r} names {host} as its server, an address of the machine's own "
            "services; name the server of the store"
        )
        raise InputError(message, code="location_unsupported", location=without_secrets(url))
    if scheme(url) in GOOGLE:
        # Its client would retry an unreachable server for a quarter of an hour.
        settings.setdefault("retry_limit_seconds", GIVEN_UP_AFTER)
        return settings
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if endpoint and "endpoint_override" not in settings:
        parts = urlsplit(endpoint)
        settings["endpoint_override"] = parts.netloc
        settings.setdefault("scheme", parts.scheme)
    return settings


@lru_cache(maxsize=64)
def _connect(kind: str, bucket: str, query: str) -> Any:
    from pyarrow import fs

    suffix = f"?{query}" if query else ""
    try:
        store, _ = fs.FileSystem.from_uri(f"{kind}://{bucket}/{suffix}")
    except (OSError, ValueError) as error:
        message = f"cannot reach {kind}://{bucket}: {error}"
        raise StorageError(message, code="store_unreachable") from error
    return store
