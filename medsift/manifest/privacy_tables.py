"""Declare the tables of privacy: what was found where and what was done, never what it said."""

from __future__ import annotations

from typing import Final

from medsift.manifest.table import tables

PRIVACY_TABLES: Final = tables("""
TABLE privacy_findings ORDER BY row_id, image_id, place, start | identifiers found in texts and
  pictures: class, position and what was done; never what they said
place* VARCHAR | question, answer, turn N, the name of a tag, extra:COLUMN, detail, or picture
row_id VARCHAR | row of the text; null for a picture
image_id VARCHAR | picture as the run uses it, masked where it was masked; null for a text
kind* VARCHAR | class: name, date, age, number, phone, address, email, url, case_link; in pictures
  also side, scale, watermark, device and other
action* VARCHAR | flag, mask or drop; keep for side markers and scales
start BIGINT | first character in the text as it was read, from 0; null for a picture
length BIGINT | characters of it
x BIGINT | left side of the rectangle in the picture, pixels; null for a text
y BIGINT | its upper side
width BIGINT | its width
height BIGINT | its height

TABLE masked_images ORDER BY image_id | pictures that were painted over, or written again without
  their metadata
image_id* VARCHAR | picture as the run uses it
original_id VARCHAR | SHA-256 of the decoded pixels before
painted* DOUBLE | share of the pixels that were painted
readings* BIGINT | how often text was read in it; the last reading found none to take out
verdict* VARCHAR | clean, or review where more was painted than privacy.review_above
""")
