"""List the export formats; a format exists by being listed here."""

from __future__ import annotations

from typing import Final

from curation.exports import hf, llava, messages, parquet, sharegpt, webdataset
from curation.exports.export_format import ExportFormat

FORMATS: Final[dict[str, ExportFormat]] = {
    module.FORMAT.name: module.FORMAT
    for module in (messages, sharegpt, llava, parquet, hf, webdataset)
}
