"""Write the format `qwen_vl`: the conversations of `llava`, as Qwen-VL's own trainer reads them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from curation.exports import llava

FORMAT: Final = replace(llava.FORMAT, name="qwen_vl")
