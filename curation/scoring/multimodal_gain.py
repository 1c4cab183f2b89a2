"""Score how much an answer's likelihood gains by the picture: what text alone cannot teach."""

from __future__ import annotations

from typing import ClassVar, Literal

from curation.scoring.answer_views import GainConfig, View


class MultimodalGainConfig(GainConfig):
    """Settings of `multimodal_gain`: log p(A | I, Q) − log p(A | Q), mean nats a token.

    The idea is MAGIC's (arXiv 2605.26004). Above 0 the picture helps; near 0 the text gives the
    answer away, or the model cannot read it off the picture. Null without a picture.
    """

    removed: ClassVar[View] = "without_pictures"
    kind: Literal["multimodal_gain"] = "multimodal_gain"
