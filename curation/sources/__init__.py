"""Readers: one a file; a reader exists by being listed here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from curation.sources.caption import CaptionReader
from curation.sources.hf import HfReader
from curation.sources.image_folder import ImageFolderReader
from curation.sources.llava import LlavaReader
from curation.sources.messages import MessagesReader
from curation.sources.table import TableReader
from curation.sources.webdataset import WebDatasetReader

SourceConfig = Annotated[
    TableReader
    | CaptionReader
    | LlavaReader
    | MessagesReader
    | HfReader
    | WebDatasetReader
    | ImageFolderReader,
    Field(discriminator="reader"),
]
