"""The manifest's tables: every column with its type and its meaning, in one place.

The DDL, the comments inside the file and `docs/manifest.md` all follow from `TABLES`. Column
names never change without raising `SCHEMA_VERSION` and adding a migration.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import pyarrow as pa

from medsift.manifest.evaluation_tables import EVALUATION_TABLES
from medsift.manifest.table import Table, columns
from medsift.manifest.training_tables import TRAINING_TABLES
from medsift.vocabulary import TAGS

SCHEMA_VERSION: Final = 4
OLDEST_VERSION: Final = 1
"""Older layouts lack tables; a file of one is read as it is and upgraded when it is written."""

MESSAGES_TYPE: Final = "STRUCT(role VARCHAR, content VARCHAR)[]"
IMAGES_TYPE: Final = "STRUCT(image_id VARCHAR, ref VARCHAR)[]"


_TAG_MEANINGS: Final = {
    "split": "train, validation or test, as the source says",
    "modality": "imaging technique: ct, mr, xray, ultrasound, …",
    "body_part": "organ or region shown",
    "task_type": "what is asked: presence, side, count, plane, …",
    "answer_type": "closed, open or choice",
    "language": "language code of the text",
    "patient_id": "patient, where the source names one",
    "study_id": "study, where the source names one",
    "license": "licence of the record",
}
_TAGS: Final = tuple(f"{tag} VARCHAR | {_TAG_MEANINGS[tag]}" for tag in TAGS)

VERDICTS: Final = (
    "leak (between splits); same image and question, same image, same text, or near, unresolved"
)
_DECISION: Final = (
    "sample_id VARCHAR | content id of the sample, null when the row never became one",
    "stage* VARCHAR | stage that decided",
    "action* VARCHAR | dropped or failed",
    "reason* VARCHAR | reason code",
    "witness VARCHAR | row_id of the kept row this one was too near to",
    "value DOUBLE | measured value",
    "threshold DOUBLE | value that decides",
    "detail VARCHAR | further words",
)

RUNS: Final = Table(
    "runs",
    "one line a run, with everything needed to repeat it",
    columns(
        "name VARCHAR | recipe name",
        f"schema_version INTEGER | version of this layout; now {SCHEMA_VERSION}",
        "created_at TIMESTAMP | start, UTC",
        "finished_at TIMESTAMP | end, UTC",
        "status VARCHAR | balanced, unbalanced or failed",
        "recipe VARCHAR | the recipe, JSON",
        "recipe_fingerprint VARCHAR | digest of the recipe",
        "input_fingerprint VARCHAR | digest of the input files",
        "code_version VARCHAR | version of MedSift",
        "packages VARCHAR | package versions, JSON object",
        "seed BIGINT | seed of every random choice",
    ),
)

TABLES: Final[tuple[Table, ...]] = (
    RUNS,
    Table(
        "stages",
        "one line a stage; rows_in = kept + dropped + failed",
        columns(
            "ordinal* INTEGER | place of the stage in the run, from 0",
            "stage* VARCHAR | stage name",
            "rows_in* BIGINT | rows that entered",
            "kept* BIGINT | rows that went on",
            "dropped* BIGINT | rows removed on purpose",
            "failed* BIGINT | rows that could not be processed",
            "seconds DOUBLE | wall time",
            "reused BOOLEAN | whether an earlier run's output was taken",
            "fingerprint VARCHAR | digest of settings, version and upstream",
        ),
        ("ordinal",),
    ),
    Table(
        "operators",
        "time inside a stage",
        columns(
            "stage* VARCHAR | stage name",
            "operator* VARCHAR | part of the stage",
            "seconds* DOUBLE | time spent",
            "rows BIGINT | rows it handled",
        ),
    ),
    Table(
        "rows",
        "every input row with its fate; view `why` puts it in words",
        columns(
            "row_id* VARCHAR | source name, file and index",
            "source* VARCHAR | source name of the recipe",
            "file* VARCHAR | input file, relative to the source's root",
            "index* BIGINT | record number in the file, from 0",
            "notes VARCHAR[] | what was mended while reading",
            "sample_id VARCHAR | content id of the sample, null when the row never became one",
            "stage VARCHAR | stage that decided; the run's last stage for a kept row",
            "action VARCHAR | kept, dropped or failed",
            "reason VARCHAR | reason code, null when kept",
            "witness VARCHAR | row_id of the kept row this one was too near to",
            "value DOUBLE | measured value",
            "threshold DOUBLE | value that decides",
            "detail VARCHAR | further words",
        ),
        ("row_id",),
    ),
    Table(
        "images",
        "one line a distinct picture with its facts",
        columns(
            "image_id* VARCHAR | SHA-256 of the decoded pixels",
            "byte_hash VARCHAR | SHA-256 of the file",
            "ref VARCHAR | path or URL of the file",
            "files BIGINT | files of different bytes that hold these pixels",
            "size_bytes BIGINT | file size, bytes",
            "width INTEGER | width, pixels",
            "height INTEGER | height, pixels",
            "mode VARCHAR | colour mode as stored",
            "bit_depth INTEGER | bits a channel",
            "format VARCHAR | file format",
            "phash VARCHAR | perceptual hash, 16 hex digits",
            "mean FLOAT | mean grey level, 0 to 255",
            "contrast FLOAT | standard deviation of the grey levels",
            "entropy FLOAT | Shannon entropy of the grey histogram, bits",
            "sharpness FLOAT | variance of the Laplacian at a fixed size",
            "blank_share FLOAT | share of pixels at the commonest grey level",
            "notes VARCHAR[] | what was mended while decoding",
            "group_id VARCHAR | group of confirmed copies; its own id when it is alone",
            "x FLOAT | first coordinate of the vector map",
            "y FLOAT | second coordinate of the vector map",
        ),
        ("image_id",),
    ),
    Table(
        "samples",
        "every valid row, whether it was kept or dropped later",
        columns(
            "sample_id* VARCHAR | hash of images and canonical text",
            "row_id* VARCHAR | row it came from",
            "source VARCHAR | source name of the recipe",
            *_TAGS,
            "question VARCHAR | first user turn",
            "answer VARCHAR | last assistant turn",
            f"messages {MESSAGES_TYPE} | the conversation",
            f"images {IMAGES_TYPE} | its pictures, in order",
            "extra VARCHAR | further columns of the recipe, JSON object",
            "notes VARCHAR[] | what was mended",
            "stratum VARCHAR | group to balance; modality / task_type / answer_type by default",
            "place BIGINT | number of the sample in this file; joins selections.place",
        ),
        ("row_id",),
    ),
    Table(
        "decisions",
        "the ledger: one line a row dropped or failed",
        columns("row_id* VARCHAR | row decided on", *_DECISION),
        ("row_id",),
    ),
    Table(
        "scores",
        "one line a sample and scorer",
        columns(
            "sample_id* VARCHAR | sample scored",
            "scorer* VARCHAR | scorer name",
            "value DOUBLE | score",
            "percentile DOUBLE | rank among its stratum, 0 to 1",
            "stratum VARCHAR | stratum it was ranked in",
        ),
        ("scorer", "sample_id"),
        ("scorer",),
    ),
    Table(
        "combinations",
        "what a combined score is made of",
        columns(
            "scorer* VARCHAR | combined scorer",
            "part* VARCHAR | scorer that goes into it",
            "weight* DOUBLE | its weight; negative where a high score is bad",
        ),
        ("scorer", "part"),
        ("scorer",),
    ),
    Table(
        "correlations",
        "rank correlation of each score with the others and with answer length",
        columns(
            "scorer* VARCHAR | scorer",
            "other* VARCHAR | another scorer, or answer_length (characters)",
            "rho DOUBLE | Spearman's correlation, null where one of them is constant",
            "n BIGINT | samples that have both",
        ),
        ("scorer", "other"),
        ("scorer",),
    ),
    Table(
        "clusters",
        "duplicate groups, one line a member",
        columns(
            "kind* VARCHAR | exact, image_copy, sample, text or semantic",
            "group_id* VARCHAR | group",
            "member* VARCHAR | row_id; image_id for image_copy",
            "survivor VARCHAR | member that stands for the group",
            "similarity DOUBLE | nearness to the survivor",
            "sample_id VARCHAR | the member's sample; null for image_copy",
        ),
        ("kind", "group_id", "member"),
    ),
    Table(
        "conflicts_found",
        "same image group and question, answers that contradict each other",
        columns(
            "group_id* VARCHAR | conflict",
            "sample_id* VARCHAR | sample that takes part",
            "row_id VARCHAR | its row",
            "question VARCHAR | the question",
            "answer VARCHAR | its answer",
        ),
        ("group_id", "sample_id"),
    ),
    Table(
        "leaks_found",
        "samples that share content with held-out data",
        columns(
            "row_id VARCHAR | row of the pool",
            "sample_id* VARCHAR | sample of the pool",
            "benchmark* VARCHAR | benchmark, or split:NAME for a split of the pool",
            "item_id VARCHAR | held-out item",
            "kind VARCHAR | same_image, image_copy, near_image, same_text, near_text or long_run",
            "similarity DOUBLE | nearness to the item",
            f"verdict VARCHAR | {VERDICTS}",
        ),
        ("benchmark", "sample_id"),
    ),
    Table(
        "reviews",
        "what of the pool is near a benchmark and unresolved, for a person to look at: one line "
        "a pair of pictures, or a text",
        columns(
            "benchmark* VARCHAR | benchmark",
            "kind* VARCHAR | near_image, or long_run for a text",
            "row_id* VARCHAR | row of the pool; of several that show the picture, the first",
            "image_id VARCHAR | its picture; null for a text",
            "samples BIGINT | undecided samples of the pool that show it",
            "item_id* VARCHAR | item of the benchmark; of several that show its picture, the first",
            "item_image_id VARCHAR | its picture; null for a text",
            "items BIGINT | items that show it",
            "item_question VARCHAR | its question, where the recipe names the benchmark's run",
            "item_ref VARCHAR | file of its picture, where the recipe names the benchmark's run",
            "item_miniature BLOB | its picture, 64 × 64 grey bytes; null where the index has none",
            "similarity* DOUBLE | nearness to the item, as in leaks",
            "cosine DOUBLE | of the two pictures' vectors",
            "correlation DOUBLE | of their registered miniatures; null where the index has none",
            "verdict* VARCHAR | near, unresolved",
        ),
        ("benchmark", "kind"),
    ),
    Table(
        "sweep",
        "how many would go at each similarity threshold",
        columns(
            "modality VARCHAR | modality, or all",
            "threshold* DOUBLE | cosine similarity",
            "images BIGINT | images with an earlier neighbour this near",
            "samples BIGINT | samples on them",
            "confirmed BIGINT | of the images, confirmed copies by pixels",
        ),
        ("modality", "threshold"),
    ),
    Table(
        "measures",
        "what a stage measured about itself: counts, and the recall of its searches",
        columns(
            "stage* VARCHAR | stage",
            "name* VARCHAR | what was measured, for example image_recall or unread texts",
            "threshold DOUBLE | cosine it was measured at, where there is one",
            "value DOUBLE | the figure",
            "note VARCHAR | of a recall, how the search was made: exact, or ivf (by cells)",
        ),
        ("stage", "name", "threshold"),
    ),
    Table(
        "strata",
        "candidates a stratum: valid rows that reached selection",
        columns(
            "stratum VARCHAR | stratum",
            "pool BIGINT | candidates in it",
        ),
        ("stratum",),
    ),
    Table(
        "selection_settings",
        "one line a selection: how it was made and what it reaches",
        columns(
            "selection* VARCHAR | selection name",
            "ordinal INTEGER | place in the recipe, from 1; 0 is kept, of every sample; those of a "
            "study are below 0, and so never the newest",
            "created_at TIMESTAMP | when it was made, UTC; later ones of a run are newer",
            "method VARCHAR | method",
            "budget VARCHAR | budget as asked for",
            "settings VARCHAR | all settings, JSON",
            "seed BIGINT | seed",
            "fingerprint VARCHAR | digest of settings, pool and scores",
            "pool BIGINT | candidates",
            "selected BIGINT | samples selected",
            "tokens BIGINT | their estimated tokens",
            "objective DOUBLE | value of the objective, where the method has one",
            "coverage DOUBLE | share of the pool's neighbour graph that is covered",
        ),
        ("ordinal",),
        ("selection",),
    ),
    Table(
        "curves",
        "coverage against size, on the way to a selection",
        columns(
            "selection* VARCHAR | selection name",
            "size* BIGINT | samples selected so far",
            "tokens BIGINT | their estimated tokens",
            "objective DOUBLE | value of the objective so far",
            "coverage DOUBLE | share of the pool's neighbour graph that is covered",
        ),
        ("selection", "size"),
        ("selection",),
    ),
    Table(
        "selections",
        "ordered, weighted subsets",
        columns(
            "selection* VARCHAR | selection name",
            "created_at TIMESTAMP | when it was made, UTC",
            "rank* BIGINT | place in the order, from 0",
            "sample_id* VARCHAR | sample",
            "row_id* VARCHAR | its row",
            "weight DOUBLE | training weight",
            "gain DOUBLE | marginal gain of the objective",
            "stratum VARCHAR | stratum it counts for",
            "place BIGINT | number of the sample in this file; joins samples.place",
        ),
        ("selection", "rank"),
        ("selection",),
    ),
    Table(
        "exports",
        "files made from a selection",
        columns(
            "selection* VARCHAR | selection exported",
            "format* VARCHAR | export format",
            "path* VARCHAR | where it was written",
            "rows* BIGINT | samples written",
            "created_at TIMESTAMP | when, UTC",
        ),
        (),
        ("path",),
    ),
    *TRAINING_TABLES,
    *EVALUATION_TABLES,
)

BY_NAME: Final = {table.name: table for table in TABLES}


def arrow_schema(table: str, without: Collection[str] = ()) -> pa.Schema:
    """Return the Arrow schema of what fills a table, without some of its columns."""
    return BY_NAME[table].arrow_schema(without)


def table_ddl(table: Table) -> list[str]:
    """Statements that create a table in the current database and comment on it."""
    name = table.name
    columns = ["run_id VARCHAR NOT NULL"]
    columns += [f'"{column.name}" {column.type}' for column in table.columns]
    comments = [("run_id", "run it belongs to")]
    comments += [(column.name, column.meaning) for column in table.columns]
    return [
        f"CREATE TABLE {name} ({', '.join(columns)})",
        f"COMMENT ON TABLE {name} IS {quoted(table.meaning)}",
        *(f'COMMENT ON COLUMN {name}."{key}" IS {quoted(words)}' for key, words in comments),
    ]


def quoted(text: str) -> str:
    """Text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as SQL: somebody else's column may be named by a statement."""
    return '"' + name.replace('"', '""') + '"'
