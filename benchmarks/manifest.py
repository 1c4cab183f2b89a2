"""Write a synthetic manifest of N samples, add runs to it, and time a query of every view.

    python benchmarks/manifest.py --samples 10000000 --folder FOLDER

Four samples share an image, a fifth of the rows is dropped, one in 200 fails, a fifth of the
samples is selected. Everything written is removed at the end.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import duckdb

from medsift.manifest import RunRecord, open_manifest, write_manifest

ROW: Final = "'pool:part-' || lpad((i // 100000)::VARCHAR, 4, '0') || '.parquet:' || i"
SAMPLE: Final = "sha256('s' || i)"
IMAGE: Final = "sha256('i' || (i // 4))"
PARTS: Final = {
    "rows": f"SELECT {ROW} AS row_id, 'pool' AS source, 'part-' || (i // 100000) AS file, "
    'i AS "index" FROM numbers',
    "decisions": f"SELECT {ROW} AS row_id, {SAMPLE} AS sample_id, "
    "CASE WHEN i % 200 = 3 THEN 'images' ELSE 'dedup' END AS stage, "
    "CASE WHEN i % 200 = 3 THEN 'failed' ELSE 'dropped' END AS action, "
    "CASE WHEN i % 200 = 3 THEN 'truncated' ELSE 'image_copy' END AS reason, "
    f"'pool:part-0000.parquet:' || (i // 5 * 5) AS witness, 0.99 AS value, 0.95 AS threshold "
    "FROM numbers WHERE i % 5 = 1 OR i % 200 = 3",
    "samples": f"SELECT {SAMPLE} AS sample_id, {ROW} AS row_id, 'pool' AS source, "
    "['ct', 'mr', 'xray', 'ultrasound'][1 + i % 4] AS modality, 'chest' AS body_part, "
    "['presence', 'side', 'count'][1 + i % 3] AS task_type, 'closed' AS answer_type, "
    "'train' AS split, 'Is there a lesion in quadrant ' || i % 1000 || '?' AS question, "
    "'yes' AS answer, [{'role': 'user', 'content': 'Is there a lesion in quadrant ' || i % 1000 "
    "|| '?'}, {'role': 'assistant', 'content': 'yes'}] AS messages, "
    f"['images/' || (i // 4) || '.png'] AS refs, [{IMAGE}] AS images FROM numbers "
    "WHERE i % 200 <> 3",
    "images": f"SELECT {IMAGE} AS image_id, {IMAGE} AS byte_hash, 'images/' || (i // 4) || '.png' "
    "AS ref, 512 AS width, 512 AS height, 40.0 AS contrast FROM numbers WHERE i % 4 = 0",
    "clusters": f"SELECT 'sample' AS kind, 'g' || i AS group_id, {ROW} AS member, "
    "'pool:part-0000.parquet:' || (i // 5 * 5) AS survivor, 0.99 AS similarity FROM numbers "
    "WHERE i % 5 = 1",
    "conflicts_found": f"SELECT 'c' || i // 100 AS group_id, {SAMPLE} AS sample_id, "
    f"{ROW} AS row_id, 'Is it?' AS question, 'no' AS answer FROM numbers WHERE i % 100 < 2",
    "leaks_found": f"SELECT {ROW} AS row_id, {SAMPLE} AS sample_id, 'split:test' AS benchmark, "
    "'t' || i AS item_id, 'same_image' AS kind, 1.0 AS similarity, 'leak' AS verdict "
    "FROM numbers WHERE i % 100 = 7",
    "selections": f"SELECT 'facility' AS selection, i // 5 AS rank, {SAMPLE} AS sample_id, "
    f"{ROW} AS row_id, 1.0 AS weight, 1.0 / (1 + i) AS gain FROM numbers WHERE i % 5 = 0",
    "stages": "SELECT 0 AS ordinal, 'ingest' AS stage, count(*) AS rows_in, count(*) AS kept, "
    "0 AS dropped, 0 AS failed, 1.0 AS seconds FROM numbers",
    "operators": "SELECT 'ingest' AS stage, 'read' AS operator, 1.0 AS seconds, 1 AS rows",
}
QUERIES: Final = (
    "SELECT * FROM selected_samples LIMIT 20",
    "SELECT modality, answer_type, count(*), sum(weight) FROM selected_samples GROUP BY ALL",
    "SELECT * FROM selected_samples WHERE rank < 20 ORDER BY rank",
    "SELECT * FROM funnel",
    "SELECT * FROM why LIMIT 20",
    "SELECT explanation FROM why WHERE row_id = 'pool:part-0003.parquet:300001'",
    "SELECT stage, action, reason, count(*) FROM why GROUP BY ALL",
    "SELECT * FROM why WHERE action = 'failed' LIMIT 20",
    "SELECT * FROM coverage ORDER BY share",
    "SELECT * FROM duplicates LIMIT 20",
    "SELECT kind, count(*), avg(similarity) FROM duplicates GROUP BY ALL",
    "SELECT * FROM duplicates WHERE group_id = 'g300001'",
    "SELECT * FROM conflicts LIMIT 20",
    "SELECT count(DISTINCT group_id) FROM conflicts",
    "SELECT benchmark, kind, verdict, count(*) FROM leaks GROUP BY ALL",
    "SELECT * FROM timings",
    "SELECT modality, task_type, count(*) FROM samples GROUP BY ALL",
)


def make_parts(folder: Path, samples: int) -> dict[str, Path]:
    """Write each table's input as Parquet."""
    paths = {}
    with duckdb.connect() as con:
        con.execute(f"CREATE VIEW numbers AS SELECT range AS i FROM range({samples})")
        for name, sql in PARTS.items():
            paths[name] = folder / f"{name}.parquet"
            con.execute(f"COPY ({sql}) TO '{paths[name]}' (COMPRESSION zstd)")
    return paths


def time_further_runs(path: Path, parts: Mapping[str, Path], few: Mapping[str, Path]) -> None:
    """Print the seconds of a second run of as many samples, of a small one, and of it repeated."""
    further = (("as large", "second", parts), ("1 %", "small", few), ("1 % again", "small", few))
    for words, name, tables in further:
        start = time.perf_counter()
        write_manifest(path, dict(tables), RunRecord(name, "bench", datetime(2026, 1, 2)))
        seconds, size = time.perf_counter() - start, path.stat().st_size / 2**30
        print(f"a further run, {words}: {seconds:.1f} s, then {size:.2f} GiB", flush=True)


def time_queries(path: Path, repeats: int) -> None:
    """Print each query's first (cold) and median warm seconds."""
    print(f"{'first s':>8} {'median s':>9}  query")
    with open_manifest(path) as con:
        for sql in QUERIES:
            seconds = []
            for _ in range(repeats):
                start = time.perf_counter()
                con.sql(sql).to_arrow_table()
                seconds.append(time.perf_counter() - start)
            print(f"{seconds[0]:8.3f} {statistics.median(seconds[1:]):9.3f}  {sql}", flush=True)


def main() -> None:
    """Build, time, clean up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--further", action="store_true", help="add further runs, and time that")
    parser.add_argument("--folder", type=Path, default=None, help="where to work; default: temp")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="manifest-", dir=options.folder))
    try:
        start = time.perf_counter()
        parts = make_parts(folder, options.samples)
        made = time.perf_counter() - start
        start = time.perf_counter()
        path = folder / "manifest.duckdb"
        write_manifest(path, dict(parts), RunRecord("bench", "bench", datetime(2026, 1, 1)))
        wrote = time.perf_counter() - start
        size = path.stat().st_size / 2**30
        print(f"{options.samples:,} samples: input {made:.1f} s, manifest {wrote:.1f} s, ", end="")
        print(f"{size:.2f} GiB", flush=True)
        if options.further:
            (folder / "few").mkdir()
            time_further_runs(path, parts, make_parts(folder / "few", options.samples // 100))
        for part in parts.values():
            part.unlink()
        time_queries(path, options.repeats)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
