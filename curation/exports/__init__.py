"""List the export formats; a format exists by being listed here.

Each is a module of this folder that defines a `FORMAT`, loaded when it is used: the command line
names the formats in its help.
"""

from __future__ import annotations

from typing import Final

FORMATS: Final = (
    *("messages", "sharegpt", "llava", "qwen_vl", "llama_factory", "ms_swift", "openai"),
    *("parquet", "hf", "webdataset", "trl_grpo", "verl", "easyr1"),
)
