"""Texts of more than 2 GiB in one column pass through every stage, in bounded memory."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import scale, scale_pool
from benchmarks.scale_pool import BLOCK, Part, make_parts
from curation.current_samples import PLACE, current_sql, read_samples, with_texts
from curation.joins import joining, write_rows
from curation.mapped import TEXTS
from curation.pipeline import curate
from curation.scoring.config import ScoresConfig
from curation.stages.distinct_texts import list_texts
from curation.stages.stage import StageContext
from curation.stages.work_files import WorkFolder
from medsift import records
from medsift.execution import LocalExecutor
from medsift.manifest import read, selected_batches
from medsift.records import MESSAGES
from medsift.storage.mapped_rows import scratch_rows
from medsift.storage.parts import read_part

ROWS = 12_400
LENGTH = 250_000
"""Characters of an answer about a picture: 14 of 20 rows have one."""
MEMORY = 4_000
"""Most MB of memory of its own that the process may have at once: 3,331 were measured.

The texts are 4,340 MB, as an answer is a turn too. What the manifest's engine writes at a time,
2,048 samples, is a quarter of that.
"""

NESTED = pa.schema(
    [("text", pa.string()), ("turns", MESSAGES), ("number", pa.int64()), ("raw", pa.binary())]
)
TEXT = st.none() | st.text(max_size=4)
TURNS = st.none() | st.lists(
    st.none() | st.fixed_dictionaries({"role": TEXT, "content": TEXT}), max_size=3
)
ROW = st.fixed_dictionaries(
    {
        "text": TEXT,
        "turns": TURNS,
        "number": st.none() | st.integers(-9, 9),
        "raw": st.none() | st.binary(max_size=3),
    }
)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(ROW, max_size=5), max_size=4), st.data())
def test_rows_of_mapped_files_are_those_that_were_written(
    tmp_path_factory: pytest.TempPathFactory, tables: list[list[dict[str, object]]], data
):
    parts = [pa.Table.from_pylist(rows, schema=NESTED).slice(1) for rows in tables]
    whole = pa.concat_tables([NESTED.empty_table(), *parts])
    folder = tmp_path_factory.mktemp("mapped")
    rows = scratch_rows(parts, NESTED, folder)
    assert not [*folder.iterdir()]
    wanted = st.lists(st.integers(0, len(whole) - 1)) if len(whole) else st.just([])
    places = np.array(data.draw(wanted), np.int64)
    assert rows.take(places).equals(whole.take(pa.array(places)))
    most = data.draw(st.integers(1, 30))
    pieces = [places[piece] for piece in rows.pieces(places, piece_bytes=most)]
    assert [place for piece in pieces for place in piece.tolist()] == places.tolist()
    assert all(len(piece) == 1 or rows.row_bytes(piece).sum() <= most for piece in pieces)


@pytest.mark.nightly
def test_rows_behind_2_gib_of_texts_are_taken(tmp_path: Path):
    schema = pa.schema([("text", pa.string()), ("number", pa.int64())])
    length, rows, at_once = 1 << 20, 2_100, 20

    def text(number: int) -> str:
        return f"{number:04d}" + "x" * length

    tables = (
        pa.table([[*map(text, numbers)], list(numbers)], schema=schema)
        for numbers in (range(start, start + at_once) for start in range(0, rows, at_once))
    )
    mapped = scratch_rows(tables, schema, tmp_path)
    assert mapped.nbytes > 1 << 31
    places = np.random.default_rng(0).permutation(rows)
    seen = 0
    for piece in mapped.pieces(places):
        table = mapped.take(places[piece])
        assert table["number"].to_pylist() == places[piece].tolist()
        heads = pc.utf8_slice_codeunits(table["text"], 0, 4).to_pylist()
        assert heads == [f"{number:04d}" for number in places[piece].tolist()]
        seen += len(table)
    assert seen == rows


def test_samples_in_pieces_are_those_of_one_table(
    phantom_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("medsift.storage.mapped_rows.PIECE_BYTES", 500)
    upstream = phantom_run.upstream
    expected = read_samples(upstream).sort_by("row_id")
    short = [name for name in records.SAMPLES.names if name not in TEXTS.names]
    query = f"SELECT * FROM ({current_sql(upstream, [*short, PLACE])}) ORDER BY row_id"
    with joining(tmp_path / "join") as db:
        pieces = [*with_texts(db, upstream, query, records.SAMPLES.names)]
    assert len(pieces) > 1
    assert pa.concat_tables(pieces).cast(records.SAMPLES).equals(expected)
    files = write_rows(pieces, tmp_path / "files", 7)
    written = [read_part(file).select(records.SAMPLES.names) for file in files]
    assert [table.num_rows for table in written[:-1]] == [7] * (len(files) - 1)
    assert pa.concat_tables(written).cast(records.SAMPLES).equals(expected)


def long_parts(blocks: int, seed: int, dimension: int) -> Iterator[Part]:
    """Yield the parts of a synthetic pool, in which every answer about a picture is long."""
    for part in make_parts(blocks, seed, dimension, at_once=20):
        shown = part.updates["images"].to_pylist()
        columns = (part.samples[name].to_pylist() for name in ("question", "answer"))
        number = part.rows["index"].to_pylist()
        said = [
            # Rows that repeat each other are of one block, and have one question and answer.
            (asked, f"{answer} {row // BLOCK:x}{records.text_id(asked + answer)}" + "x" * LENGTH)
            if images
            else (asked, answer)
            for (asked, answer), images, row in zip(
                zip(*columns, strict=True), shown, number, strict=True
            )
        ]
        turns = [
            [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
            for asked, answer in said
        ]
        samples = part.samples
        for name, values in (
            ("answer", pa.array([answer for _, answer in said])),
            ("messages", pa.array(turns, MESSAGES)),
        ):
            samples = samples.set_column(samples.schema.get_field_index(name), name, values)
        texts = list(dict.fromkeys(text for pair in said for text in pair))
        yield dataclasses.replace(part, samples=samples, texts=texts)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.skipif("MEDSIFT_LARGE" not in os.environ, reason="takes half an hour: MEDSIFT_LARGE=1")
def test_a_column_of_more_than_2_gib_is_listed_selected_published_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(scale_pool, "make_parts", long_parts)
    # What compares words takes minutes for so many: it is written as planted.
    options = argparse.Namespace(rows=[ROWS], seed=0, dimension=64, exam_pictures=0, decided=True)
    scale.write_pool(tmp_path, options)
    recipe, run_dir = scale.recipe_of(tmp_path), tmp_path / "run"
    recipe = recipe.model_copy(update={"scores": ScoresConfig(), "selections": ()})
    watch = scale.PeakMemory()
    result = curate(recipe, run_dir, LocalExecutor())

    upstream = result.upstream.through("images")
    context = StageContext(
        recipe=recipe, run_dir=run_dir, folder=tmp_path / "texts",
        outputs=result.upstream.embed, upstream=upstream, executor=LocalExecutor(),
        begin=lambda total, unit: None, advance=lambda rows: None, warn=lambda message: None,
        open_run=lambda path: upstream,
    )  # fmt: skip
    work = WorkFolder(tmp_path / "texts")
    known = result.upstream.embed.vectors.read(["content_id"])["content_id"].to_pylist()
    tables = work.read_all(list_texts(context, work))
    assert [name for table in tables for name in table["content_id"].to_pylist()] == sorted(known)

    written = read(
        result.manifest, "SELECT count(*) AS rows, sum(strlen(answer)) AS bytes FROM samples"
    )
    assert written["rows"][0].as_py() == ROWS
    assert written["bytes"][0].as_py() > 14 * ROWS // BLOCK * LENGTH
    ranks, answers = [], 0
    for table in selected_batches(result.manifest, "kept", rows=500):
        ranks += table["rank"].to_pylist()
        answers += pc.sum(pc.binary_length(table["answer"])).as_py() or 0
    assert ranks == list(range(len(ranks)))
    # One copy of each pair is dropped, and a tenth is held out.
    assert answers > 0.8 * 12 * ROWS // BLOCK * LENGTH
    assert watch.stop() < MEMORY
