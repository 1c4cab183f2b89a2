"""LLaVA's training files: `id`, `image` and `conversations` with ``<image>`` markers."""

from __future__ import annotations

from typing import ClassVar, Literal

from curation.sources.reader import Columns
from curation.sources.tabular import TabularReader


class LlavaReader(TabularReader):
    """Conversations [{from: human | gpt | system, value}]; `image` is a path or a list of paths.

    `columns` may add tags and further names, for example `id: id`, which go to `extra`.
    """

    reader: Literal["llava"] = "llava"
    """Kind of source."""

    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("messages",),)

    def expressions(self) -> Columns:
        """Return the recipe's columns over the fixed ones of the format."""
        return {"messages": "conversations", **self.columns}
