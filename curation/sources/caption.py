"""Figures with their captions: one picture, one text, and the article that they are from."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from pydantic import field_validator

from curation.sources.column_mapping import CONTENT, Mapper
from curation.sources.reader import Columns
from curation.sources.tabular import TabularReader

CAPTION: Final = "caption"
"""The `task_type` of every row that is a caption."""
FORMS: Final = (
    "Describe this image.",
    "What does this image show?",
    "Write a caption for this image.",
    "Give the caption of this figure.",
    "Describe the picture in the words of an article.",
    "What is seen in this picture?",
    "Summarise what this figure shows.",
    "Explain the content of this image.",
    "What would the text under this figure say?",
    "State what is depicted here.",
)
"""What a caption is the answer to; which one follows from the caption, so that equal pairs of
picture and caption are equal samples."""
KEPT: Final = ("article", "figure", "panel")
"""Columns that stay with the sample, in `extra` and in the manifest's view `captions`."""


class CaptionReader(TabularReader):
    """Pairs of `image` and `text` in JSON, JSON Lines, CSV or Parquet, as captions to learn.

    A row becomes a sample of task type `caption`: one of ten fixed requests, chosen by the
    caption, and the caption as the answer. `article`, `figure`, `panel` and `licence` are kept
    where the source has them; the article is the sample's study, which no split cuts. `columns`
    maps all of these, and tags, as `table` does.
    """

    reader: Literal["caption"] = "caption"
    """Kind of source."""

    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("images", "image"),)

    @field_validator("columns")
    @classmethod
    def _words_are_a_caption(cls, columns: Columns) -> Columns:
        made = {*CONTENT, "conversations", "choices", "task_type", "answer_type"} - {"images"}
        for name in columns:
            if name in made:
                raise ValueError(
                    f"columns.{name}: a caption is mapped as `text`, and its request is one of the "
                    "fixed forms; for questions and answers use reader: table"
                )
        return columns

    def expressions(self) -> Columns:
        """Return the recipe's columns, and question and answer made of the caption."""
        columns = dict(self.columns)
        text = columns.setdefault("text", "text")
        if "licence" in columns:
            columns["license"] = columns.pop("licence")
        listed = ", ".join("'" + form.replace("'", "''") + "'" for form in FORMS)
        words = f"CAST(({text}\n) AS VARCHAR)"
        plain = f"regexp_replace(trim(nfc_normalize(coalesce({words}, ''))), '\\s+', ' ', 'g')"
        form = (
            f"list_extract([{listed}], 1 + CAST(md5_number_lower({plain}) % {len(FORMS)} AS INT))"
        )
        fixed = {"task_type": f"'{CAPTION}'", "answer_type": "'open'"}
        return fixed | columns | {"question": form, "answer": text}

    def implied(self) -> Columns:
        """Return the columns that are kept under their own names, the licence in either spelling.

        An article is a study: what no split may cut, and whose pictures judge no other of it.
        """
        own = {name: f'"{name}"' for name in KEPT}
        article = self.columns.get("article", own["article"])
        implied = own | {"study_id": article, "license": 'coalesce("license", "licence")'}
        return {name: text for name, text in implied.items() if name not in self.expressions()}

    def named(self, mapper: Mapper) -> list[str]:
        """Return the targets with those that are kept, without the text: it is the answer."""
        return [name for name in dict.fromkeys([*mapper.named, *KEPT]) if name != "text"]
