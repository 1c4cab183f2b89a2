"""What a medical text says, in the languages that have a list of words: sameness and contrast."""

from __future__ import annotations

from curation.meaning.comparison import alike, contrast
from curation.meaning.language import recognise
from curation.meaning.lists import LANGUAGES
from curation.meaning.reading import Meaning, read_meaning

__all__ = ["LANGUAGES", "Meaning", "alike", "contrast", "read_meaning", "recognise"]
