"""OpenAI and ShareGPT chats: `messages` or `conversations`, pictures next to or inside them."""

from __future__ import annotations

from typing import ClassVar, Literal

from curation.sources.tabular import TabularReader


class MessagesReader(TabularReader):
    """Chats [{role, content}] whose content is a text or a list of text and image parts.

    ShareGPT's `conversations` [{from, value}] are read too. Pictures come from an `images` or
    `image` column, or inline as paths, URLs or data: URLs. `columns` may add tags.
    """

    reader: Literal["messages"] = "messages"
    """Kind of source."""

    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("messages",),)
