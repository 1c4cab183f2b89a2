"""Plant identifiers in phantoms' pictures and in texts: recall by class, pixels lost, seconds.

Run: python -m benchmarks.privacy [--pictures 24] [--texts 40] [--seed 7] [--prose FOLDER]. Texts
are the project's own templates (written next to the rules, so their recall is an upper bound) and,
apart, what the package Faker makes up in eleven languages. Its names are those of the lists; names
in the templates are made of syllables and in no list. With --prose, a folder with
medquad_answered.jsonl.gz, it counts findings in medical prose, where few people are named.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from curation.phantoms.identifiers import plant_picture, plant_texts
from curation.privacy.line_kinds import line_kind
from curation.privacy.mask_picture import PictureMasker
from curation.privacy.settings import KEPT_KINDS, PrivacyConfig
from curation.privacy.text import find_identifiers

LOCALES = (
    "en_US",
    "en_GB",
    "de_DE",
    "fr_FR",
    "es_ES",
    "it_IT",
    "pt_BR",
    "ru_RU",
    "zh_CN",
    "ja_JP",
    "ko_KR",
)
LABELS = {
    "name": {
        **{"zh": "患者姓名：{}", "ja": "氏名：{}", "ko": "성명: {}", "ru": "Пациент: {}"},
        "": "Patient: {}, seen today.",
    },
    "name, in a sentence": {"": "The findings of {} were discussed."},
    "phone": {
        **{"zh": "电话：{}", "ja": "電話：{}", "ko": "전화: {}", "ru": "Тел.: {}"},
        "": "Phone: {}",
    },
    "address": {"": "Lives at {} now."},
    "email": {"": "Write to {} soon."},
    "date": {"": "Seen on {} again."},
}  # fmt: skip
TAKEN = ("name", "date", "number")


def wilson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share."""
    if not n:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    p, scale = hits / n, 1 + z * z / n
    middle, half = (
        (p + z * z / (2 * n)) / scale,
        z / scale * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)),
    )
    return float(middle - half), float(middle + half)


def address(fake: Any, language: str) -> str:
    """A street with its number; in Chinese, Japanese and Korean with the place before it."""
    if language == "ko":
        return str(fake.road_address())
    return str(fake.address().split(" ")[0] if language in ("zh", "ja") else fake.street_address())


def made_up(count: int, seed: int) -> Iterator[tuple[str, str, str, str]]:
    """(class, language, text, identifier) by Faker."""
    from faker import Faker

    for locale in LOCALES:
        fake, language = Faker(locale), locale[:2]
        fake.seed_instance(seed)
        for _ in range(count):
            together = language in ("zh", "ja", "ko")
            western = f"{fake.first_name()} {fake.last_name()}"
            values = {
                "name": fake.last_name() + fake.first_name() if together else western,
                "name, in a sentence": None if together else western,
                "phone": fake.phone_number(),
                "address": address(fake, language),
                "email": fake.email(),
                "date": fake.date(("%d/%m/%Y", "%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y")[int(seed) % 4]),
            }  # fmt: skip
            for kind, value in values.items():
                if value is not None:
                    texts = LABELS[kind]
                    plain = " ".join(value.split())
                    yield kind, language, texts.get(language, texts[""]).format(plain), plain


def covered(text: str, identifier: str) -> bool:
    """Whether what is found, of any class, covers all letters and digits of an identifier."""
    start = text.index(identifier)
    hidden = set()
    for one in find_identifiers(text):
        hidden.update(range(one.start, one.end))
    return all(
        place in hidden for place in range(start, start + len(identifier)) if text[place].isalnum()
    )


def table(title: str, counts: dict[str, list[bool]]) -> None:
    """Print recall with its interval, a line for each class."""
    print(
        f"\n{title}\n\n| class | planted | masked | recall | 95% (Wilson) |\n|---|---|---|---|---|"
    )
    for kind, hits in sorted(counts.items()):
        low, high = wilson(sum(hits), len(hits))
        print(
            f"| {kind} | {len(hits):,} | {sum(hits):,} | {np.mean(hits):.3f} "
            f"| {low:.3f} to {high:.3f} |"
        )


def texts(count: int, seed: int) -> None:
    """Recall on texts."""
    own: dict[str, list[bool]] = {}
    for plant in plant_texts(seed, max(1, count // 10)):
        own.setdefault(plant.kind, []).append(covered(plant.text, plant.identifier))
    table("Texts by the project's templates", own)
    theirs: dict[str, list[bool]] = {}
    by_language: dict[str, list[bool]] = {}
    start, signs = time.process_time(), 0
    for kind, language, text, identifier in made_up(count, seed):
        hit = covered(text, identifier)
        signs += len(text)
        theirs.setdefault(kind, []).append(hit)
        by_language.setdefault(language, []).append(hit)
    seconds = time.process_time() - start
    table("Texts by Faker", theirs)
    table("Texts by Faker, by language", by_language)
    print(
        f"\n{sum(map(len, theirs.values())) / seconds:,.0f} texts a second, "
        f"{signs / seconds / 1000:,.0f} kB a second of processor time"
    )


def pictures(count: int, seed: int) -> None:
    """Recall on pictures, pixels lost, and seconds."""
    masker = PictureMasker(PrivacyConfig(pictures="mask"))
    hits: dict[str, list[bool]] = {}
    painted, seconds, readings, verdicts = [], [], [], Counter[str]()
    for index in range(count):
        picture = plant_picture(seed, index)
        start = time.process_time()
        masking = masker.mask(picture.image)
        seconds.append(time.process_time() - start)
        painted.append(masking.painted)
        readings.append(masking.readings)
        verdicts[masking.verdict] += 1
        changed = np.asarray(masking.image) != np.asarray(picture.image)
        again = " ".join(line.text for line in masker.reader.lines(masking.image, thoroughly=True))
        for kind, text, (x, y, width, height) in picture.lines:
            if kind in TAKEN:
                hits.setdefault(kind, []).append(
                    text not in again and bool(changed[y : y + height, x : x + width].mean() > 0.2)
                )
            else:
                hits.setdefault(f"{kind} (stays)", []).append(
                    not changed[y : y + height, x : x + width].any()
                )
        left = {
            line_kind(line.text) for line in masker.reader.lines(masking.image, thoroughly=True)
        }
        assert left <= set(KEPT_KINDS), left
    table("Phantoms of 640 x 640 pixels", hits)
    print(
        f"\npixels painted: {np.mean(painted):.2%} on average, {np.max(painted):.2%} at most; "
        f"verdicts {dict(verdicts)}; "
        f"readings {np.mean(readings):.2f}; {np.median(seconds):.2f} s of processor time a frame, "
        f"{np.median(np.array(seconds) / np.array(readings)):.2f} s a reading"
    )


def prose(folder: Path, every: int = 8) -> None:
    """Findings in medical prose."""
    counts, rows, signs = Counter[str](), 0, 0
    with gzip.open(folder / "medquad_answered.jsonl.gz", "rt", encoding="utf-8") as lines:
        for place, line in enumerate(lines):
            if place % every == 0:
                answer = json.loads(line)["answer"]
                rows, signs = rows + 1, signs + len(answer)
                counts.update(one.kind for one in find_identifiers(answer))
    listed = ", ".join(f"{kind} {count}" for kind, count in counts.most_common())
    print(f"\nMedical prose: {rows:,} answers, {signs / 1e6:.1f} MB; found: {listed}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--texts", type=int, default=40)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--prose", type=Path)
    options = parser.parse_args()
    texts(options.texts, options.seed)
    if options.prose:
        prose(options.prose)
    if options.pictures:
        pictures(options.pictures, options.seed)


if __name__ == "__main__":
    main()
