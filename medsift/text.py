"""Clean texts, bring them into comparable forms, and find the words that must not differ."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Final

from medsift.normal_form import NUMBER_WORDS, normal_form

CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
INVISIBLE: Final = re.compile("[\u200b\u2060\ufeff\u200e\u200f\u202a-\u202e\u2066-\u2069]")
SURROGATE: Final = re.compile("[\ud800-\udfff]")
CJK: Final = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3040-\u30ff\uac00-\ud7af]")
IMAGE_MARKER: Final = re.compile(r"<image>", re.IGNORECASE)
MAX_SHOWN: Final = 120
"""Characters of a value that a message quotes."""
TOKEN: Final = re.compile(r"[a-z]+\d[a-z\d]*|\d[\d,]*(?:\.\d+)?|[a-z]+(?:'t)?|[\u4e00-\u9fff]|[<>]")


def clean(text: str) -> tuple[str, list[str]]:
    """Return text cleaned (no control characters, tabs as spaces, NFC, stripped), and the changes.

    Line breaks stay, as a single line feed each. Leading and trailing white space goes unnoted.
    """
    if text.isascii() and text.isprintable():
        return text.strip(), []
    notes: list[str] = []
    for pattern, replacement, note in _CORRECTIONS:
        text, count = pattern.subn(replacement, text)
        if count and note is not None:
            notes.append(note)
    composed = unicodedata.normalize("NFC", text)
    if composed != text:
        notes.append("Unicode composed")
    return composed.strip(), notes


def normalise_answer(text: str) -> str:
    """Return an answer for comparison: case, width, punctuation, space and spelling folded.

    Signs, numbers, units and symbols stay: "HER2+" is not "HER2-", "≥ 5 cm" not "≤ 5 cm".
    """
    return normal_form(text)


def normalise_question(text: str) -> str:
    """Return a question for comparison: like an answer, without ``<image>`` markers."""
    return normalise_answer(IMAGE_MARKER.sub(" ", text))


def is_cjk(text: str) -> bool:
    """Return whether the text has Chinese, Japanese or Korean characters."""
    return CJK.search(text) is not None


def protected_tokens(text: str) -> Counter[str]:
    """Count the words of a text that have clinical meaning on their own, in canonical form.

    Numbers and codes such as L4 or T2 count; words as `PROTECTED` maps them; sides and negation
    in Chinese by character.
    """
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    folded = _XRAY.sub("xray", IMAGE_MARKER.sub(" ", folded))
    words = map(_canonical, TOKEN.findall(folded))
    return Counter(word for word in words if word is not None)


def contrast(a: str, b: str) -> bool:
    """Return whether two texts differ in a protected word, so that they must not be merged."""
    return protected_tokens(a) != protected_tokens(b)


def _canonical(token: str) -> str | None:
    if token[0].isdigit():
        digits = token.replace(",", "")
        return f"{float(digits):.12g}" if len(digits) < 16 else digits
    if token in PROTECTED:
        return PROTECTED[token]
    if token.endswith("n't"):
        return "not"
    if any(letter.isdigit() for letter in token) or token in "<>":
        return token
    return None


# ESC and the other control characters, C1 too: 0x9b begins a sequence as ESC does.
_TERMINAL_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_XRAY: Final = re.compile(r"\bx[\s-]?rays?\b")
_CORRECTIONS: Final = (
    (SURROGATE, "\ufffd", "broken characters replaced"),
    (re.compile(r"\r\n?|[\x85\u2028\u2029]"), "\n", None),
    (re.compile(r"\t"), " ", "tabs replaced"),
    (CONTROL, "", "control characters removed"),
    (INVISIBLE, "", "invisible characters removed"),
)
_OF_ONE_FORM: Final = (
    "negative positive upper lower above below ascending descending smaller smallest low "
    "acute chronic benign malignant last pet flair dwi adc coronal sagittal"
)
# Words of one meaning, under the first of them.
_SYNONYMS: Final = (
    # sides
    *("left lt l leftward 左", "right rt r rightward 右", "bilateral bilaterally both 双"),
    "unilateral unilaterally",
    # negation
    "not no without absent absence never none neither nor non cannot 不 无 没 未 非",
    # a second thing asked for
    *("and & plus 和 及 与", "or vs versus 或"),
    # directions
    *("anterior anteriorly", "posterior posteriorly", "superior superiorly"),
    *("inferior inferiorly", "medial medially", "lateral laterally", "proximal proximally"),
    *("distal distally", "internal internally", "external externally"),
    # change and degree
    *("increase increased increases increasing", "decrease decreased decreases decreasing"),
    *("normal normally", "abnormal abnormally abnormality abnormalities", "more greater"),
    *("less fewer", "larger bigger", "largest biggest", "high higher"),
    *("first 1st", "second 2nd", "before pre", "after post"),
    # modalities and planes
    *("ct cat tomography", "mr mri", "xray xrays cxr radiograph radiographs"),
    *("ultrasound ultrasonography sonogram sonography", "axial transverse"),
    # organs
    *("lung lungs pulmonary 肺", "heart hearts cardiac 心", "brain brains cerebral 脑"),
    *("liver livers hepatic 肝", "kidney kidneys renal 肾", "spleen spleens splenic 脾"),
    *("pancreas pancreatic", "stomach stomachs gastric 胃", "bladder bladders"),
    *("gallbladder gallbladders", "bowel bowels intestine intestines", "colon colonic"),
    *("aorta aortic", "esophagus oesophagus esophageal", "trachea tracheal", "bone bones"),
    *("rib ribs", "spine spinal", "chest thorax thoracic", "abdomen abdominal"),
    *("pelvis pelvic", "head heads", "neck cervical"),
)
# Of these only the words count, not the prefix that represents them.
_PREFIXED: Final = {
    "hyper": "hyperdense hyperintense hyperattenuating hyperechoic",
    "hypo": "hypodense hypointense hypoattenuating hypoechoic",
}
PROTECTED: Final[dict[str, str]] = {
    **{word: word for word in _OF_ONE_FORM.split()},
    **{word: words.split()[0] for words in _SYNONYMS for word in words.split()},
    **{word: canonical for canonical, words in _PREFIXED.items() for word in words.split()},
    **{word: str(number) for number, word in enumerate(NUMBER_WORDS.split())},
}


def shown(value: object) -> str:
    """Return a value for a message: at most about 120 characters of it, and their number."""
    if isinstance(value, (str, bytes)) and len(value) > MAX_SHOWN:
        unit = "characters" if isinstance(value, str) else "bytes"
        return f"{value[:MAX_SHOWN]!r}… ({len(value):,} {unit})"
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def escaped(text: str) -> str:
    r"""Return text with its control characters written out (``\x1b``), as terminals obey them."""
    return _TERMINAL_CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
