"""Score how much a caption says that few other captions of the pool say."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from curation.joins import joining
from curation.scoring.scorer import ScorerConfig, ScoringContext
from curation.sources.caption import CAPTION
from medsift.arrays import Doubles

DECIMALS: Final = 6
NO_SPACES: Final = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Scripts that write no spaces between words: each of their letters counts as a word."""
WORDS: Final = f"""
    SELECT place, language, word FROM (
      SELECT DISTINCT place, language, unnest(regexp_extract_all(
        regexp_replace(lower(nfc_normalize(answer)), '([{NO_SPACES}])', ' \\1 ', 'g'),
        '[{NO_SPACES}]|[\\p{{L}}\\p{{M}}\\p{{N}}]{{2,}}')) AS word
      FROM captions)
"""
COUNTED: Final = f"""
    WITH words AS ({WORDS}),
    known AS (SELECT language, word, count(*) AS captions FROM words GROUP BY ALL),
    pool AS (SELECT language, count(*) AS captions FROM captions GROUP BY ALL)
    SELECT words.place, known.captions AS containing, pool.captions AS all_captions
    FROM words JOIN known USING (language, word) JOIN pool USING (language)
    ORDER BY words.place, containing, words.word
"""


class CaptionSpecificityConfig(ScorerConfig):
    """Settings of `caption_specificity`: mean inverse document frequency of a caption's words.

    A word that df of the N captions of a language contain has idf = ln((N + 1) / (df + 1)). Of the
    k different words of a caption the value is (sum of idf + m * mean) / (k + m), where mean is
    that of all captions' mean idf and m is `prior_words`: a short caption is near the middle, and
    no caption gains by length. Null for samples that are no captions, and captions without words.
    """

    kind: Literal["caption_specificity"] = "caption_specificity"
    prior_words: float = Field(5.0, ge=0.0)
    """Words of mean idf that every caption is given."""

    def score(self, context: ScoringContext) -> Doubles:
        """Return the specificity (n,), in nats a word."""
        samples, n = context.pool.samples, len(context.pool)
        captions = samples.select(["answer", "language", "task_type"])
        captions = captions.append_column("place", pa.array(np.arange(n)))
        with joining(context.folder / "words") as db:
            db.register("samples", captions)
            db.execute(
                "CREATE TABLE captions AS SELECT place, coalesce(language, '') AS language, answer "
                "FROM samples WHERE task_type = $1",
                [CAPTION],
            )
            # The whole numbers are summed here, in one order: sums of fractions have no other.
            found = db.sql(COUNTED).to_arrow_table()
        place = found["place"].to_numpy()
        idf = np.log(
            (found["all_captions"].to_numpy() + 1.0) / (found["containing"].to_numpy() + 1)
        )
        words = np.bincount(place, minlength=n)
        total = np.bincount(place, weights=idf, minlength=n)
        worded = words > 0
        if not worded.any():
            return np.full(n, np.nan)
        mean = float(np.mean(total[worded] / words[worded]))
        value = (total + self.prior_words * mean) / np.maximum(words + self.prior_words, 1.0)
        return np.where(worded, np.round(value, DECIMALS), np.nan)
