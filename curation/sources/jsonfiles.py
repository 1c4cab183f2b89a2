"""JSON Lines, which can be cut anywhere, and JSON arrays, which stream through one worker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from curation.errors import InputError
from curation.sources.base import Shard
from curation.sources.files import BLOCK_BYTES, InputFile
from curation.sources.storage import open_input

BOM: Final = b"\xef\xbb\xbf"
TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]",]', re.DOTALL)
WHITE: Final = b" \t\r\n"
LINE_BYTES: Final = 64 << 20
"""Most bytes of one record; a longer one fails alone without being held."""


def line_shards(file: InputFile, shard_bytes: int) -> list[Shard]:
    """Cut an uncompressed JSON Lines file at line ends near every `shard_bytes` bytes."""
    shards: list[Shard] = []
    start = first = position = lines = 0
    with open_input(file.uri) as stream:
        while block := stream.read(BLOCK_BYTES):
            at = 0
            # A cut falls after the first line end at or past start + shard_bytes.
            while (end := block.find(b"\n", max(at, start + shard_bytes - 1 - position))) >= 0:
                lines += block.count(b"\n", at, end + 1)
                shards.append(Shard(file.name, file.uri, start, position + end + 1, first))
                start, first, at = position + end + 1, lines, end + 1
            lines += block.count(b"\n", at)
            position += len(block)
    if position > start:
        shards.append(Shard(file.name, file.uri, start, position, first))
    return shards


def lines(stream: Any, shard: Shard) -> Iterator[tuple[int, bytes]]:
    """(line number, bytes) of the lines of a shard that are not blank."""
    stream.seek(shard.start)
    left = shard.stop - shard.start if shard.stop >= 0 else None
    for index, line in enumerate(_split_lines(stream, left), shard.first_index):
        text = line.removeprefix(BOM) if index == 0 else line
        if text.strip(WHITE):
            yield index, text


def _split_lines(stream: Any, left: int | None) -> Iterator[bytes]:
    rest = b""
    while block := stream.read(BLOCK_BYTES if left is None else min(BLOCK_BYTES, left)):
        left = None if left is None else left - len(block)
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
    if rest:
        yield rest


def starts_array(stream: Any) -> bool:
    """Whether the first character of a JSON file opens an array."""
    while block := stream.read(4096):
        if text := block.removeprefix(BOM).strip(WHITE):
            return bool(text.startswith(b"["))
    return False


def elements(stream: Any, shard: Shard) -> Iterator[tuple[int, bytes]]:
    """(place, bytes) of each element of a JSON array, without holding the array.

    A malformed element is still yielded whole. Raises InputError when the brackets of the file do
    not close, since what follows cannot be told apart.
    """
    splitter = ArraySplitter(shard.file)
    index = 0
    while block := stream.read(BLOCK_BYTES):
        for element in splitter.feed(block):
            yield index, element
            index += 1
    splitter.finish(index)


class ArraySplitter:
    """Finds the commas between the elements of an array while its bytes arrive in blocks."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.buffer = b""
        self.scanned = 0
        self.start = -1
        self.depth = 0
        self.closed = False

    def feed(self, block: bytes) -> Iterator[bytes]:
        """Take the next bytes and yield the elements that they complete."""
        self.buffer += block
        for token in TOKEN.finditer(self.buffer, self.scanned):
            mark = token.group()
            if mark == b'"':
                # An opening quote without its end: the string goes on in the next block.
                self.scanned = token.start()
                break
            self.scanned = token.end()
            yield from self._step(mark, token.start(), token.end())
        else:
            self.scanned = len(self.buffer)
        self._forget()

    def finish(self, count: int) -> None:
        """Raise InputError unless the array was closed and nothing follows it."""
        rest = self.buffer[self.start :] if self.closed else b""
        if not self.closed or rest.strip(WHITE):
            raise InputError(
                f"{self.name}: the JSON array is broken after {count} elements"
                f" ({'text after its end' if self.closed else 'it never closes'});"
                " repair the file or write it as JSON Lines"
            )

    def _step(self, mark: bytes, begin: int, end: int) -> Iterator[bytes]:
        if self.closed or (self.depth == 0 and mark != b"["):
            return
        if mark in b"[{":
            self.depth += 1
            if self.depth == 1:
                self.start = end
        elif mark in b"]}":
            self.depth -= 1
            if self.depth == 0:
                self.closed = True
                yield from self._cut(begin, end, last=True)
        elif mark == b"," and self.depth == 1:
            yield from self._cut(begin, end, last=False)

    def _cut(self, begin: int, end: int, last: bool) -> Iterator[bytes]:
        element = self.buffer[self.start : begin].strip(WHITE)
        self.start = end
        if element or not last:
            yield element

    def _forget(self) -> None:
        if self.start > 0:
            self.buffer = self.buffer[self.start :]
            self.scanned -= self.start
            self.start = 0
