"""JSON Lines, which can be cut anywhere, and JSON arrays, which stream through one worker.

A record over a limit of bytes is not kept in memory: it yields None.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from curation.sources.files import BLOCK_BYTES, InputFile
from curation.sources.reader import Shard
from medsift.errors import InputError
from medsift.storage.locations import open_input

BOM: Final = b"\xef\xbb\xbf"
TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]",]', re.DOTALL)
STRING_END: Final = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
WHITE: Final = b" \t\r\n"
LINE_BYTES: Final = 64 << 20
"""Most bytes of one record; a longer one fails alone and is not kept in memory."""


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


def lines(stream: Any, shard: Shard, most: int) -> Iterator[tuple[int, bytes | None]]:
    """Yield (line number, bytes) of a shard's filled lines; None for one over `most` bytes."""
    stream.seek(shard.start)
    left = shard.stop - shard.start if shard.stop >= 0 else None
    for index, line in enumerate(split_lines(stream, left, most), shard.first_index):
        text = line.removeprefix(BOM) if line is not None and index == 0 else line
        if text is None or text.strip(WHITE):
            yield index, text


def split_lines(stream: Any, left: int | None, most: int) -> Iterator[bytes | None]:
    """Yield the lines of the next `left` bytes of a stream, None for one over `most` bytes."""
    # The pieces of a line are joined once: joining them block by block is quadratic.
    pieces: list[bytes] = []
    size = 0
    while block := stream.read(BLOCK_BYTES if left is None else min(BLOCK_BYTES, left)):
        left = None if left is None else left - len(block)
        *ends, rest = block.split(b"\n")
        for part in ends:
            yield b"".join([*pieces, part]) if size + len(part) <= most else None
            pieces, size = [], 0
        size += len(rest)
        pieces = [*pieces, rest] if size <= most else []
    if size:
        yield b"".join(pieces) if size <= most else None


def elements(
    stream: Any, shard: Shard, most: int, key: str | None = None
) -> Iterator[tuple[int, bytes | None]]:
    """Yield (index, bytes) of each element of a JSON array, without loading the array.

    A malformed element is still yielded in full, and None for one that is too large. Raises
    InputError when the brackets of the file do not close, since the elements after that cannot be
    separated.

    Args:
        stream: The file, open for reading bytes.
        shard: The piece to read, always a whole file; errors name its file.
        most: Bytes of an element at most.
        key: Where in the file's object the array is; None where the file is the array.
    """
    splitter = ArraySplitter(shard.file, most, key)
    index = 0
    while block := stream.read(BLOCK_BYTES):
        for element in splitter.feed(block):
            yield index, element
            index += 1
    splitter.finish(index)


class ArraySplitter:
    """Split an array at the commas between its elements while its bytes arrive in blocks."""

    def __init__(self, name: str, most: int = LINE_BYTES, key: str | None = None) -> None:
        self.name = name
        self.most = most
        self.key = key
        self.floor = 0 if key is None else 1
        self.buffer = b""
        self.scanned = 0
        self.start = 0
        self.depth = 0
        self.opened = self.closed = self.inside = self.too_long = self.trailing = False
        self.word = b""
        self.word_start = self.word_end = 0

    def feed(self, block: bytes) -> Iterator[bytes | None]:
        """Take the next bytes and yield the elements that they complete."""
        if self.closed:
            self._look_behind(block)
            return
        self.buffer += block
        if self.inside:
            self._leave_string()
        if not self.inside:
            yield from self._scan()
        self._forget()

    def _scan(self) -> Iterator[bytes | None]:
        for token in TOKEN.finditer(self.buffer, self.scanned):
            mark = token.group()
            if mark == b'"':  # the string ends in a later block
                self.inside = True
                self.word_start = token.start()
                self.scanned = self._after_escapes(token.end())
                break
            self.scanned = token.end()
            yield from self._step(mark, token.start(), token.end())
            if self.closed:
                self._look_behind(self.buffer[self.scanned :])
                self.buffer, self.start, self.scanned = b"", 0, 0
                return
        else:
            self.scanned = len(self.buffer)

    def finish(self, count: int) -> None:
        """Raise InputError unless the array was closed and nothing follows it."""
        if not self.closed or self.trailing:
            what = "text after its end" if self.closed else "it never closes"
            if not self.opened and self.key is not None:
                what = f"there is no list under {self.key!r}"
            words = f"{self.name}: the JSON array is broken after {count} elements ({what});"
            words += " repair the file or write it as JSON Lines"
            values = {"file": self.name, "format": "json", "row": count, "key": self.key}
            raise InputError(words, code="file_broken", **values)

    def _look_behind(self, block: bytes) -> None:
        self.trailing = self.trailing or (self.key is None and bool(block.strip(WHITE)))

    def _leave_string(self) -> None:
        if end := STRING_END.match(self.buffer, self.scanned):
            self.inside, self.scanned = False, end.end()
            if not self.opened:
                self.word, self.word_end = self.buffer[self.word_start : end.end()], end.end()
        else:
            self.scanned = self._after_escapes(self.scanned)

    def _after_escapes(self, start: int) -> int:
        tail = self.buffer[start:]
        backslashes = len(tail) - len(tail.rstrip(b"\\"))
        return len(self.buffer) - backslashes % 2

    def _step(self, mark: bytes, begin: int, end: int) -> Iterator[bytes | None]:
        if not self.opened:
            self._approach(mark, begin, end)
        elif mark in b"[{":
            self.depth += 1
        elif mark in b"]}":
            self.depth -= 1
            if self.depth == self.floor:
                self.closed = True
                yield from self._cut(begin, end, last=True)
        elif mark == b"," and self.depth == self.floor + 1:
            yield from self._cut(begin, end, last=False)

    def _approach(self, mark: bytes, begin: int, end: int) -> None:
        """Look for the bracket that opens the array."""
        if mark[:1] == b'"':
            self.word, self.word_end = mark, end
        elif mark in b"[{":
            if mark == b"[" and self.depth == self.floor and self._named(begin):
                self.opened, self.start = True, end
            self.depth += 1
        elif mark in b"]}":
            self.depth -= 1

    def _named(self, begin: int) -> bool:
        if self.key is None:
            return True
        between = self.buffer[self.word_end : begin].strip(WHITE)
        return between == b":" and self.word == json.dumps(self.key, ensure_ascii=False).encode()

    def _cut(self, begin: int, end: int, last: bool) -> Iterator[bytes | None]:
        long = self.too_long or begin - self.start > self.most
        element = None if long else self.buffer[self.start : begin].strip(WHITE)
        self.start, self.too_long = end, False
        if element is None or element or not last:
            yield element

    def _forget(self) -> None:
        word = self.word_start if self.inside else self.word_end
        keep = self.start if self.opened else word
        if self.opened and self.scanned - self.start > self.most:
            keep, self.too_long = self.scanned, True
        elif not self.opened and self.scanned - keep > self.most:
            keep = self.scanned
        if keep > 0:
            self.buffer = self.buffer[keep:]
            self.scanned -= keep
            self.start = 0
            self.word_start = max(0, self.word_start - keep)
            self.word_end = max(0, self.word_end - keep)
