"""Stream the members of a tar, each checked against limits of size before it is read."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from curation.sources.suffixes import PICTURE_SUFFIXES
from medsift.errors import InputError
from medsift.storage.locations import open_input

HEADER_BYTES: Final = 1 << 20
LONG_HEADERS: Final = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
KINDS: Final = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    **dict.fromkeys((tarfile.CHRTYPE, tarfile.BLKTYPE), "a device"),
    tarfile.FIFOTYPE: "a FIFO",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of one record's members together, of a text member, and of an unpacked tar."""

    record: int
    text: int
    file: int


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a record: its key, suffix, name in the tar, and bytes or why there are none."""

    key: str
    suffix: str
    name: str
    data: bytes
    fault: tuple[str, str] | None = None


class _BoundedInfo(tarfile.TarInfo):
    """A header that is refused when it is longer than any real name: it is read whole."""

    def _proc_member(self, tar: tarfile.TarFile) -> Any:
        if self.type in LONG_HEADERS and self.size > HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        return super()._proc_member(tar)  # type: ignore[misc]


def members(uri: str, name: str, limits: Limits) -> Iterator[Member]:
    """Yield the members that are not folders or hidden, in the tar's order.

    The key of a member is its path up to the first dot of its name, the rest its suffix. Raises
    InputError when the tar cannot be read to its end or unpacks to more than the limit.
    """
    key, record_size = "", 0
    try:
        with (
            open_input(uri) as raw,
            tarfile.open(fileobj=raw, mode="r|*", tarinfo=_BoundedInfo) as tar,
        ):
            for info in tar:
                folder, _, base = info.name.rpartition("/")
                if info.offset_data + info.size > limits.file:
                    words = (
                        f"{name}: the tar unpacks to more than {limits.file:,} bytes with member"
                    )
                    words += f" {info.name!r}; raise file_bytes if that is meant"
                    values = {"file": name, "member": info.name, "most": limits.file}
                    raise InputError(words, code="file_too_large", **values)
                if info.isdir() or base.startswith("."):
                    continue
                stem, _, suffix = base.partition(".")
                own = f"{folder}/{stem}" if folder else stem
                record_size = info.size + (record_size if own == key else 0)
                key = own
                fault = _fault(info, suffix.lower(), record_size, limits)
                stream = None if fault else tar.extractfile(info)
                data = stream.read() if stream is not None else b""
                yield Member(key, suffix.lower(), info.name, data, fault)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        words = f"{name}: the tar cannot be read to its end: {error}"
        raise InputError(words, code="file_broken", file=name, format="tar") from error


def _fault(
    info: tarfile.TarInfo, suffix: str, record_size: int, limits: Limits
) -> tuple[str, str] | None:
    if not info.isfile():
        kind = KINDS.get(info.type, "no plain file")
        to = f" to {info.linkname!r}" if info.linkname else ""
        return "not_a_file", f"member {info.name!r} is {kind}{to}; put the file itself into the tar"
    text = "." + suffix.rpartition(".")[2] not in PICTURE_SUFFIXES
    if record_size > limits.record or (text and info.size > limits.text):
        setting = f"record_bytes is {limits.record:,}, text_bytes {limits.text:,}"
        return "member_too_large", f"member {info.name!r} has {info.size:,} bytes; {setting}"
    return None
