"""Define the words that every room shares: splits and their spellings, file names, verdicts."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator

MANIFEST_NAME: Final = "manifest.duckdb"
"""The file of a run directory that holds its manifest."""
LINEAGE_NAME: Final = "lineage.json"
"""The file of a training result that says where it comes from."""
IMAGE_MARK: Final = "<image>"
"""The mark of a picture in the text of a turn."""
NEAR: Final = "near, unresolved"
"""Verdict of a leak that only a person can decide."""

TAGS: Final = (
    *("split", "modality", "body_part", "task_type", "answer_type", "language"),
    *("patient_id", "study_id", "license"),
    *("series_id", "plane", "laterality", "age_class", "sex"),
)
"""Facts that a record may state about itself."""
STRATUM_TAGS: Final = ("modality", "task_type", "answer_type")
"""Tags that name a sample's stratum unless the recipe says otherwise."""

Split = Literal["train", "validation", "test"]
SPLITS: Final[tuple[Split, ...]] = get_args(Split)
SPELLINGS: Final[dict[str, Split]] = {
    **dict.fromkeys(("train", "training", "训练", "训练集"), "train"),
    **dict.fromkeys(("validation", "validate", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("验证", "验证集"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation", "测试", "测试集"), "test"),
}


def split_of(word: str) -> Split | None:
    """Return the split that a word spells, in any case, or None."""
    return SPELLINGS.get(word.strip().casefold())


def plain_split(word: str) -> str:
    """Return the split that a word spells, else the word itself: `val` names `validation`."""
    return split_of(word) or word


SplitName = Annotated[str, AfterValidator(plain_split)]
"""A split as a setting names it: `val` is read as `validation`, other words stay."""


def stored_names(split: str) -> list[str]:
    """Return the words for a split in a manifest: older runs wrote `val` for `validation`."""
    return [split, "val"] if split == "validation" else [split]
