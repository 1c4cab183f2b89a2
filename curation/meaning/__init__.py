"""Read the meaning of medical texts in the languages that have a word list."""

from __future__ import annotations

from curation.meaning.comparison import alike, contrast
from curation.meaning.language import recognise
from curation.meaning.lists import LANGUAGES
from curation.meaning.reading import Meaning, read_meaning

__all__ = ["LANGUAGES", "Meaning", "alike", "contrast", "read_meaning", "recognise"]
