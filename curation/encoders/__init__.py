"""List the encoders a recipe may name; a new one is one file and one entry in `AnyEncoder`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from curation.encoders.embedded import EmbeddedConfig
from curation.encoders.encoder import Encoder, EncoderConfig
from curation.encoders.open_clip import OpenClipConfig

AnyEncoder = Annotated[EmbeddedConfig | OpenClipConfig, Field(discriminator="kind")]

__all__ = ["AnyEncoder", "EmbeddedConfig", "Encoder", "EncoderConfig", "OpenClipConfig"]
