"""Plant made-up identifiers in texts and pictures, with the truth of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from curation.phantoms.cases import draw_case
from curation.phantoms.images import paint, to_bytes

PLANTS: Final = 5
_GIVEN: Final = ("Jane", "Robert", "Ingrid", "Matteo", "Sofia", "Ahmed", "Priya", "Kenji")
_FAMILY: Final = (
    "Whitfield",
    "Okafor",
    "Lindqvist",
    "Moretti",
    "Delgado",
    "Haddad",
    "Sharma",
    "Tanaka",
)
# Made of syllables, so that no list of names has them.
_HEADS: Final = ("Vel", "Tor", "Bran", "Quil", "Zem", "Dor", "Fal", "Kes")
_TAILS: Final = ("mirax", "dovan", "thilok", "barow", "niskel", "garund", "vestik", "lorman")
_MONTHS: Final = ("January", "March", "April", "July", "August", "October", "November", "December")
_TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "name": (
        "Mr. {family} presented with cough.", "Patient: {family}, {given}. Is there a mass?", "Seen by Dr. {given} {family}.",
        "{FAMILY}^{GIVEN} axial view", "Is the lesion of {listed_given} {listed_family} larger?", "患者张{han},有无结节?",
        "Пациент: {ru}. Есть ли опухоль?", "Frau {family} wurde untersucht.", "Nombre: {given} {family}. ¿Hay masa?",
        "氏名：山田{kana}", "환자 김{ko}, 폐 결절이 있습니까?", "Nom : {family}. Y a-t-il une fracture ?",
    ),
    "date": (
        "Scan of {y}-{m:02}-{d:02}.", "Seen on {d}/{m}/{y}.", "Seen on {m}/{d}/{y}.", "Am {d:02}.{m:02}.{y} operiert.", "On {month} {d}, {y} a CT was done.",
        "On {d} {month} {y} a CT was done.", "{y}年{m}月{d}日入院。", "Study {y}{m:02}{d:02} shows it.", "Le {d} mars {y}.",
        "{y}년 {m}월 {d}일 촬영", "Снимок от {d} октября {y} г.", "El {d} de agosto de {y}.",
    ),
    "age": (
        "A {age}-year-old man.", "The patient is aged {age}.", "Age: {age}", "患者{age}岁。", "Eine {age}-jährige Patientin.", "Una mujer de {age} años.",
        "Пациентке {age} года.", "{age} y/o female", "Patiente de {age} ans.", "{age}세 남자",
    ),
    "number": (
        "MRN {number} has a mass.", "Patient ID: A{number}", "Accession no. {number}", "病历号：{number}", "SSN {ssn}", "Fallnummer: {number}",
        "Numéro de dossier : {number}", "Medical record number {number}", "номер карты {number}", "환자번호: {number}", "NHS number {number}", "Case {uuid} shows it.",
    ),
    "phone": (
        "Call (212) 555-{four}.", "Phone: 212-555-{four}", "Tel. +49 30 9018{four}", "电话：1381234{four}", "Telefon: 030 901 {four}", "+33 1 70 18 {four}",
        "Tel: 020 7946 {four}", "03-1234-{four} まで", "Fax +39 06 698 {four}", "Тел.: +7 495 123 {four}",
    ),
    "address": (
        "Lives at {house} Maple Street, Springfield.", "{house} Oak Avenue, Boston, MA 021{house}", "Wohnt Hauptstraße {house}, 10115 Berlin.", "Habite {house} rue de la Paix, Paris.",
        "Calle Mayor {house}, Madrid", "北京市朝阳区建国路{house}号", "ул. Ленина, д. {house}", "Via Garibaldi {house}, Roma", "P.O. Box {house}", "東京都千代田区丸の内{house}番地",
    ),
    "email": ("Write to {given}.{family}@example.org.", "mail: {number}@clinic.example.com", "e-mail {family}_{house}@example.co.uk"),
    "url": ("See https://www.example.org/u/{number}", "at www.example.com/{family}", "http://pacs.example.net/?id={number}"),
    "case_link": ("https://radiopaedia.org/cases/{number}", "https://example.org/patient/{number}", "see https://medpix.example.org/case?id={number}."),
}  # fmt: skip


class Plant(NamedTuple):
    """A text with one identifier: its class, the template it follows, and the identifier."""

    text: str
    kind: str
    template: str
    identifier: str


@dataclass(frozen=True, slots=True)
class PlantedPicture:
    """A phantom with lines drawn into it: (class, text, rectangle) of each."""

    image: Image.Image
    lines: tuple[tuple[str, str, tuple[int, int, int, int]], ...]


def plant_texts(seed: int, per_template: int = 1) -> list[Plant]:
    """Return every template of every class, filled with identifiers drawn from `seed`."""
    rng = np.random.default_rng(seed)
    plants = []
    for kind, templates in _TEMPLATES.items():
        for template in templates:
            for _ in range(per_template):
                text, identifier = _filled(template, kind, rng)
                plants.append(Plant(text, kind, template, identifier))
    return plants


def plant_picture(seed: int, index: int) -> PlantedPicture:
    """Return a phantom with a name, a date, a number, a side marker and a scale drawn into it."""
    rng = np.random.default_rng([seed, index])
    pixels = to_bytes(paint(draw_case(seed, index), seed))
    image = Image.fromarray(pixels).convert("L").resize((640, 640), Image.Resampling.BILINEAR)
    facts = _facts(rng)
    texts = (
        ("name", ("{FAMILY}^{GIVEN}", "{FAMILY}, {GIVEN}", "Name: {given} {family}")[index % 3]),
        ("date", ("{d:02}/{m:02}/{y}", "{y}-{m:02}-{d:02}", "{d:02}.{m:02}.{y}", "{y}{m:02}{d:02}")[index % 4]),
        ("number", ("ID: {number}", "MRN {number}", "Acc {number}")[index % 3]),
        ("side", ("LEFT", "RIGHT")[index % 2]),
        ("scale", ("10 cm", "50 mm")[index % 2]),
    )  # fmt: skip
    places = [(16, 12), (400, 12), (16, 600), (560, 320), (480, 600)]
    draw, lines = ImageDraw.Draw(image), []
    size = 18 + int(rng.integers(0, 3)) * 4
    font = ImageFont.load_default(size)
    for place, (kind, template) in zip(places, texts, strict=True):
        text = template.format(**facts)
        left, upper, right, lower = map(int, draw.textbbox(place, text, font=font))
        x = max(0, min(place[0], image.width - (right - left) - 4))
        draw.text((x, place[1]), text, fill=255, font=font, stroke_width=1, stroke_fill=0)
        lines.append((kind, text, (x, upper, right - left, lower - upper)))
    return PlantedPicture(image, tuple(lines))


def _filled(template: str, kind: str, rng: np.random.Generator) -> tuple[str, str]:
    """Return a template's text, and the part of it that identifies."""
    facts = _facts(rng)
    text = template.format(**facts)
    if kind == "name":
        names = ("family", "FAMILY", "listed_family", "ru", "han", "kana", "ko")
        used = next(name for name in names if f"{{{name}}}" in template)
        return text, str(facts[used])
    if kind == "age":
        return text, str(facts["age"])
    if kind == "date":
        start = min(text.find(sign) for sign in "0123456789" if sign in text)
        return text, text[start : start + 6].strip()
    keys = ("number", "ssn", "uuid", "four", "house", "family")
    return text, str(facts[next(key for key in keys if f"{{{key}}}" in template)])


def _facts(rng: np.random.Generator) -> dict[str, object]:
    def one(values: tuple[str, ...]) -> str:
        return values[int(rng.integers(len(values)))]

    family, given = one(_HEADS) + one(_TAILS), one(_HEADS) + one(_TAILS)
    digits = "".join(map(str, rng.integers(0, 10, 32)))
    return {
        "family": family, "given": given, "FAMILY": family.upper(), "GIVEN": given.upper(),
        "listed_family": one(_FAMILY), "listed_given": one(_GIVEN),
        "ru": one(("Кузьминов", "Лаврова", "Тихонов")) + " " + one(("Пётр", "Анна", "Олег")),
        "han": one(("伟明", "丽华", "建国")), "kana": one(("太郎", "花子", "健一")), "ko": one(("민준", "서연", "지훈")),
        "y": int(rng.integers(1931, 2024)), "m": int(rng.integers(1, 13)), "d": int(rng.integers(1, 29)), "month": one(_MONTHS),
        "age": int(rng.integers(90, 106)), "number": "7" + digits[:7], "ssn": f"5{digits[8:10]}-{digits[10:12]}-{digits[12:16]}",
        "four": f"01{digits[16:18]}", "house": int(rng.integers(10, 99)),
        "uuid": f"{int(digits[:9]):08x}-0aa1-4bb2-8cc3-{int(digits[9:23]):012x}"[-36:],
    }  # fmt: skip
