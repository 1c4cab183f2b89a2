"""Mutated records through every reader: no crash, and every row kept, dropped or failed once.

``python -m benchmarks.fuzz_rows --inputs 20000 --seeds 1 2 3`` prints the fates of each seed, the
slowest file and the memory added; the exit status is 1 where one of both is beyond its bound.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import math
import random
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection

from benchmarks.fuzz_pictures import peak_memory
from curation.ingest import IngestConfig, ingest
from curation.ledger import check_rows
from curation.sources.llava import LlavaReader
from curation.sources.messages import MessagesReader
from curation.sources.reader import Reader
from curation.sources.record_batches import whole_text
from curation.sources.table import TableReader
from curation.sources.webdataset import WebDatasetReader
from medsift.errors import InputError
from medsift.images.blob_store import BlobStore
from medsift.manifest.connections import start

BATCH: Final = 200
MOST_SECONDS: Final = 0.1
"""Processor time that a row may take on average over a file."""
MOST_BYTES: Final = 1 << 30
"""Memory that all of them may add to the process."""
CHAT: Final = [{"role": "user", "content": "<image>\nWhat?"}, {"role": "assistant", "content": "x"}]
SHARE: Final = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "x"}]
ASKED: Final = [{"type": "image", "image": "a.png"}, {"type": "text", "text": "q"}]
PARTS: Final = [
    {"role": "user", "content": ASKED},
    {"role": "assistant", "content": [{"type": "text", "text": "yes"}]},
]
SEEDS: Final[tuple[dict[str, Any], ...]] = (
    {"question": "Which?", "answer": "A", "options": ["CT", "MR"], "image": "a.png"},
    {"question": "Which?", "answer": "2", "options": {"1": "CT", "2": "MR"}, "images": ["a.png"]},
    {"question": "Which?", "answer": "b", "options": [{"label": "A", "text": "x"}], "system": "s"},
    {"question": "<image_1> q", "answer": 3, "option_a": "x", "option_b": "y", "history": [["q"]]},
    {"messages": CHAT, "images": ["a.png"], "system": "Be brief.", "tools": "[]"},
    {"messages": PARTS, "videos": []},
    {"conversations": SHARE, "image": "a.png", "id": 1},
    {"conversations": json.dumps(SHARE), "image": "data:image/png;base64,iVBORw0KGgo="},
)
MANY_DIGITS: Final = "medsift many digits"
TWICE: Final = "medsift twice"
# What `json.dumps` does not write, in place of a text that it does.
RAW: Final = {
    f'"{MANY_DIGITS}"': "9" * 6000,
    f'"{TWICE}"': '{"role": "user", "role": "assistant", "content": 1, "content": "x"}',
}


def _nested(levels: int) -> Any:
    """Return lists in objects in lists, to this many levels."""
    value: Any = "x"
    for level in range(levels):
        value = [value] if level % 2 else {"content": value}
    return value


ODD: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 5, 2.5, 1e308, 10**400, "", " ", "\x00", "\ud800", "nan"),
    *("file://[x", "s3://[x", "s3://b/k.png", "gs://x/y", "hdfs://h/x"),
    *("http://h/a.png", "../a.png"),
    *("[" * 3000 + "]" * 3000, '{"a":' * 900 + "1" + "}" * 900, '["\\ud800","b"]', "['a', 'b']"),
    *("[[[[", "('a' 'b')", "b'\\x89'", "data:,", "data:image/png;base64,@", "A" * 5000),
    *("iVBORw0KGgo" * 9, "<video>", "<img>a.png</img>", "<image_9>", "<|image_pad|>"),
    *("<|vision_start|>", "<image>" * 40, [], {}, [None], [[]], [1, 2], list(range(64))),
    *({"bytes": None, "path": None}, {"url": {"url": 1}}, {"text": [1], "label": "x"}),
    *({"A": {"text": None}}, [["A", "x"], ["A", "y"]], {"": ""}, [{"role": 1, "content": 2}]),
    *([{"role": "user"}], [{"from": "human", "value": {"a": [b"x".hex()]}}]),
    *([{"role": "assistant", "content": "x", "loss": False}], [{"role": "user", "content": [[]]}]),
    *(math.nan, math.inf, -math.inf, -0.0, 1e-320, 2**31, 2**63, 2**64, -(2**63), "9" * 5000),
    *(
        "\u202eabc\u2066 \u200b",
        "a\u0000b",
        "\x1b[2J\x1b]0;x\x07",
        "\ufeff",
        "\ufffe",
        "e\u0301" * 40,
    ),
    *("=HYPERLINK(1)", "<script>alert(1)</script>", "${HOME}", "'; DROP TABLE rows; --", "\\"),
    *(
        "a" * 200_000,
        ["x"] * 5000,
        dict.fromkeys(map(str, range(3000)), 1),
        _nested(40),
        _nested(90),
    ),
    *(MANY_DIGITS, {"role": MANY_DIGITS}, TWICE, [{"from": "human", "value": TWICE}]),
)


@dataclass(slots=True)
class Tally:
    """The fates of the inputs of one seed, counted."""

    rows: int = 0
    refused_files: int = 0
    slowest: float = 0.0
    """Processor time of the batch that took the most, in seconds a row."""
    fates: Counter[str] = field(default_factory=Counter)


def mutate(value: Any, random_: random.Random, depth: int = 0) -> Any:
    """A value with one place changed: replaced, dropped, repeated, wrapped, or its text cut."""
    if depth < 4 and value and random_.random() < 0.7:
        if isinstance(value, dict):
            key = random_.choice(list(value))
            if random_.random() < 0.1:
                key = random_.choice([*value, "videos", "choices", "A", "\ud800", "IMAGE"])
            return {**value, key: mutate(value.get(key), random_, depth + 1)}
        if isinstance(value, list):
            at = random_.randrange(len(value))
            return [*value[:at], mutate(value[at], random_, depth + 1), *value[at + 1 :]]
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: random_.choice(ODD),
        lambda: [value],
        lambda: [value, value],
        lambda: {"x": value},
        lambda: json.dumps(value),
        lambda: repr(value),
        lambda: _text(value, random_),
    )
    return random_.choice(kinds)()


def _text(value: Any, random_: random.Random) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    at = random_.randrange(len(text) + 1)
    return text[:at] + random_.choice([*map(str, ODD[:30]), "\\", '"', "\u202e", "<"]) + text[at:]


def as_json(value: Any) -> str:
    """Return JSON, with what only other writers than Python's produce."""
    text = json.dumps(value)
    for name, raw in RAW.items():
        text = text.replace(name, raw)
    return text


def json_lines(records: Sequence[Any], random_: random.Random) -> bytes:
    """Records as JSON Lines, a tenth of them with a byte or a piece of the line changed."""
    lines = []
    for record in records:
        line = bytearray(as_json(record).encode())
        if random_.random() < 0.1:
            at = random_.randrange(len(line))
            line[at : at + random_.randrange(3)] = random_.randbytes(random_.randrange(4))
        lines.append(bytes(line).replace(b"\n", b" "))
    return b"\n".join(lines) + b"\n"


def _csv(records: Sequence[dict[str, Any]], random_: random.Random) -> bytes:
    names = ["question", "answer", "options", "image", "messages", "A", "B", "history", "videos"]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, extrasaction="ignore")
    writer.writeheader()
    for record in records:
        shown = random_.choice([json.dumps, repr, str])
        writer.writerow({key: shown(value) for key, value in record.items() if value is not None})
    return text.getvalue().encode("utf-8", "surrogatepass")


def _tar(records: Sequence[Any]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for place, record in enumerate(records):
            members = {"json": as_json(record).encode()}
            if place % 2:
                members["png"] = b"\x89PNG\r\n\x1a\n"
            for suffix, data in members.items():
                info = tarfile.TarInfo(f"{place:05}.{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _parquet(records: Sequence[dict[str, Any]], random_: random.Random) -> bytes | None:
    names = dict.fromkeys(name for record in records for name in record)
    columns = {}
    for name in names:
        values = [record.get(name) for record in records]
        try:
            columns[name] = pa.array(values)
        except (pa.ArrowException, OverflowError, UnicodeEncodeError):
            texts = [None if value is None else json.dumps(value) for value in values]
            columns[name] = _in_another_type(pa.array(texts), random_)
    try:
        table = pa.table({whole_text(name): at for name, at in columns.items()})
        out = io.BytesIO()
        pq.write_table(table, out)
    except (pa.ArrowException, ValueError):
        return None  # an empty struct, which no Parquet file can hold
    return out.getvalue()


def _in_another_type(texts: pa.Array, random_: random.Random) -> pa.Array:
    """Return texts as one of the types that writers choose for them, or with bytes no text has."""
    kind = random_.choice(["text", "large", "view", "dictionary", "bytes", "broken"])
    if kind == "dictionary":
        return texts.dictionary_encode()
    if kind == "broken":
        broken = [None if text is None else b"\xff\xc0" + text.encode()[:50] for text in
                  texts.to_pylist()]  # fmt: skip
        packed = pa.array(broken, pa.binary())
        return pa.Array.from_buffers(pa.string(), len(packed), packed.buffers())
    types = {"large": pa.large_string(), "view": pa.string_view(), "bytes": pa.binary()}
    return texts.cast(types.get(kind, pa.string()))


def readers(
    records: Sequence[dict[str, Any]], folder: Path, random_: random.Random
) -> Iterator[Reader]:
    """The records in files of every kind, and the readers that take them."""
    written: dict[str, bytes | None] = {
        "a.jsonl": json_lines(records, random_),
        "a.json": b"[" + b",".join(as_json(record).encode() for record in records) + b"]",
        "a.csv": _csv(records, random_),
        "a.tar": _tar(records),
        "a.parquet": _parquet(records, random_),
    }
    lines = json_lines(records, random_)
    # A tenth of the packed files are cut short, as downloads are.
    written["b.jsonl.gz"] = gzip.compress(lines)[: None if random_.random() < 0.9 else -20]
    for name, data in written.items():
        if data is None:
            continue
        (folder / name).write_bytes(data)
        kinds = {
            "a.jsonl": (TableReader, LlavaReader, MessagesReader),
            "a.tar": (WebDatasetReader,),
        }
        for kind in kinds.get(name, (TableReader,)):
            yield kind(name="fuzz", path=str(folder / name))


@lru_cache(maxsize=1)
def engine() -> DuckDBPyConnection:
    """Return the engine that checks the ledger of every file."""
    return start()


def read_all(reader: Reader, blobs: BlobStore, tally: Tally) -> None:
    """Read and sort every row of a reader. Raises LedgerError when a row has no fate or two."""
    try:
        tables = [table for shard in reader.shards() for table in reader.read(shard, blobs)]
    except InputError:
        tally.refused_files += 1
        return
    for rows in tables:
        result = ingest(rows, IngestConfig())
        db = engine()
        for part, table in (
            ("read", rows), ("kept", result.samples), ("decided", result.decisions),
        ):  # fmt: skip
            db.register(part, table.select(["row_id"]))
        check_rows(db, "read", "kept", "decided")
        tally.rows += rows.num_rows
        tally.fates["kept"] += result.samples.num_rows
        tally.fates.update(result.decisions["reason"].to_pylist())


def fuzz(inputs: int, seed: int, folder: Path) -> Tally:
    """Read at least `inputs` mutated records of one seed; the first crash is raised."""
    random_ = random.Random(seed)
    tally = Tally()
    blobs = BlobStore(folder / "blobs")
    while tally.rows < inputs:
        wanted = min(BATCH, inputs)
        records = [mutate(random_.choice(SEEDS), random_) for _ in range(wanted)]
        records = [
            record if isinstance(record, dict) else {"question": record} for record in records
        ]
        # The first records say which columns there are; a source without any is refused as a whole.
        records[:2] = SEEDS[0], SEEDS[4]
        for reader in readers(records, folder, random_):
            start = time.process_time()
            read_all(reader, blobs, tally)
            tally.slowest = max(tally.slowest, (time.process_time() - start) / wanted)
    return tally


def main() -> int:
    """Fuzz with every seed and print what became of the rows; return 1 where it cost too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    given = parser.parse_args()
    faults = 0
    for seed in given.seeds:
        start, memory = time.perf_counter(), peak_memory()
        with tempfile.TemporaryDirectory() as folder:
            tally = fuzz(given.inputs, seed, Path(folder))
        seconds = time.perf_counter() - start
        fates = ", ".join(f"{reason} {count}" for reason, count in tally.fates.most_common())
        print(f"seed {seed}: {tally.rows} rows in {seconds:.0f} s, 0 crashes, balanced: {fates}")
        print(f"  {tally.refused_files} files refused as a whole")
        added = peak_memory() - memory
        print(
            f"  the slowest file {1000 * tally.slowest:.1f} ms of processor time a row, "
            f"{added >> 20} MiB more memory",
            flush=True,
        )
        faults += (tally.slowest > MOST_SECONDS) + (added > MOST_BYTES)
    return int(faults > 0)


if __name__ == "__main__":
    raise SystemExit(main())
