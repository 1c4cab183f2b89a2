"""Error codes of constructions: a teacher that is asked for reasoning."""

from __future__ import annotations

from medsift.error_codes.code import read_codes

CODES = read_codes("""
construct_nothing_to_ask: No sample of the selection is of the kind that is asked about.
  Do: Name another selection, or settings that fit its samples.
construction_unknown: The run has no such construction.
  Do: Look at the table constructions.
replies_busy: Another process uses the folder of replies.
  Do: Wait for it, or name another folder under `replies`.
teacher_constant: A teacher gives one and the same reply to every sample.
  Do: Look at the stored replies, and correct the endpoint or its settings.
""")
