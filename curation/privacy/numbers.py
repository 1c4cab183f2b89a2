"""Find record numbers, telephone numbers, addresses, e-mail and links in text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

Found = tuple[str, int, int]
"""A class of identifiers, and its start and end in the text."""

_LABEL: Final = (
    r"\b(?:MRN|PID|SSN|NHS|URN|UHID|DNI|NIF|CPF|IPP|NIR|(?:patient|pat|pt|hospital|study|"
    r"accession|acc|case|record|chart|encounter|visit|exam|order|insurance|policy|member|account|"
    r"serial|device|licen[cs]e|passport|specimen|sample|medical\s+record|social\s+security|"
    r"health\s+(?:card|plan))[\s._-]*(?:id(?:entifier)?|no|number|nr|num|nbr)|accession|"
    r"(?:patienten|fall|akten|versicherten|auftrags)[\s-]?(?:nummer|nr|zeichen|id)|"
    r"num[ée]ro\s+(?:de\s+)?(?:dossier|patient|s[ée]curit[ée]\s+sociale)|n[°o]\s*(?:de\s+)?dossier|"
    r"(?:historia\s+cl[ií]nica|n[uú]mero\s+de\s+(?:historia|paciente))|cartella\s+clinica|"
    r"prontu[aá]rio|номер\s+(?:карты|пациента|истории(?:\s+болезни)?)|СНИЛС)\b\.?"
    r"|病历号|病歷號|病案号|住院号|住院號|门诊号|登记号|检查号|影像号|身份证号?码?|患者ID|患者番号|カルテ番号"
    r"|診察券番号|환자\s?번호|등록\s?번호|주민등록번호|رقم\s+(?:المريض|الملف|السجل)|रोगी\s+(?:संख्या|क्रमांक)"
)
_CODE: Final = r"(?=[\w./-]*\d[\w./-]*\d)(?P<value>\w[\w./-]*\w)"
_NUMBERS: Final = (
    # A label, then a word with at least two digits.
    re.compile(
        rf"(?:{_LABEL})(?:\s*(?:is|was|#|№|number|nummer|num\.?|no\.?|nr\.?|id|[:：=]))*\s*#?{_CODE}",
        re.IGNORECASE,
    ),
    re.compile(r"(?<![\w-])(?P<value>\d{3}-\d{2}-\d{4})(?![\w-])"),
    re.compile(
        r"\b(?P<value>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b",
        re.IGNORECASE,
    ),
    re.compile(r"(?<![\w.])(?P<value>[012](?:\.(?:0|[1-9]\d*)){7,})(?![\w.]*\w)"),
    re.compile(
        r"\bIP(?:v4)?(?:\s+address)?\s*[:=]?\s*(?P<value>(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3})(?![\w.]*\w)"
    ),
)
_CITIZEN: Final = re.compile(r"(?<!\w)\d{17}[\dXx](?!\w)")
_CITIZEN_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_FREE: Final = r"(?!\(?8(?:00|88|77|66|55|44|33)\b)"
_PHONES: Final = (
    # Lines that anyone may call free of charge (800, 888, 877, …) belong to no person.
    re.compile(
        rf"(?<![\w.-])(?P<value>(?:\+?1[\s.-]?)?{_FREE}(?:\([2-9]\d{{2}}\)\s?|[2-9]\d{{2}}[\s.-])"
        r"[2-9]\d{2}[.-]\d{4}(?:\s?(?:x|ext\.?)\s?\d{1,6})?)(?![\w-])"
    ),
    re.compile(
        r"(?:\b(?:tel|telephone|telefon|tel[eé]fono|t[eé]l[eé]phone|telefone|telefono|phone|mobile|cell|handy|"
        r"m[oó]vil|fax|pager|hotline|whatsapp|call|ring|contact|тел|телефон|факс)\b\.?|电话|電話|手机|手機|"
        r"传真|携帯|전화|연락처|هاتف|فون|फ़?ोन)(?:\s*(?:no|nr|number|nummer|is|at|him|her|on|号码?|[:：.#]))*"
        rf"\s*(?P<value>\+?{_FREE}(?!1[\s.-]?8(?:00|88|77|66|55|44|33)\b)\(?\d[\d\s()./-]{{5,17}}\d)(?!\w)",
        re.IGNORECASE,
    ),
    re.compile(r"(?<!\d)(?P<value>1[3-9]\d{9})(?!\d)"),
    re.compile(r"(?<![\w-])(?P<value>0\d{1,4}[-‐]\d{1,4}[-‐]\d{3,4})(?![\w-])"),
)
_PLUS: Final = re.compile(r"(?<!\w)\+\s?\d[\d\s()./-]{5,20}")
_CAPITAL: Final = r"[A-ZÀ-ÖØ-Þ][\w'’.-]*"
_STREETS: Final = (
    # The common ones of Publication 28 of the United States Postal Service, and those of Britain.
    "Alley|Avenue|Ave|Bend|Boulevard|Blvd|Branch|Bridge|Brook|Canyon|Causeway|Circle|Cir|Close|Common|Corner|Cottages|Court|Ct|Cove"
    "|Creek|Crescent|Cres|Crossing|Curve|Dale|Drive|Dr|Estates?|Expressway|Extension|Falls|Ferry|Fields?|Flats?|Ford|Forest|Forge|Fork"
    "|Freeway|Gardens?|Gate|Glens?|Green|Groves?|Harbors?|Haven|Heights|Highway|Hwy|Hills?|Hollow|Inlet|Islands?|Isle|Junctions?|Keys?"
    "|Knolls?|Lakes?|Landing|Lane|Ln|Lodge|Loop|Mall|Manors?|Meadows?|Mews|Mills?|Mission|Motorway|Mountains?|Orchard|Oval|Overpass|Parade"
    "|Parks?|Parkways?|Pkwy|Passage|Pass|Path|Pike|Pines|Place|Pl|Plains?|Plaza|Points?|Ports?|Prairie|Radial|Ramp|Ranch|Rapids?|Rest"
    "|Ridges?|River|Roads?|Rd|Route|Row|Rue|Run|Shoals?|Shores?|Skyway|Springs?|Spurs?|Squares?|Sq|Station|Stravenue|Stream|Streets?|St"
    "|Summit|Terrace|Throughway|Trace|Track|Trafficway|Trail|Tunnel|Turnpike|Underpass|Unions?|Valleys?|Via|Viaduct|Views?|Villages?|Ville"
    "|Vista|Walks?|Wall|Ways?|Wells?"
)
_HOUSE: Final = r"\d{1,5}(?:\s?[-/]\s?\d{1,4})?(?:\s?[a-zA-Z])?\b"
_DOOR: Final = r"(?:,?\s+(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Piso|Puerta|Piano|Appartamento|interno|Studio|#)\.?\s*\w+)?"
_ROMANCE: Final = (
    "Acceso|Alameda|Alto|Avenida|Av\\.|Avda\\.|Bairro|Borgo|Calle|C/|Callejón|Camino|Campo|Canale|Carrer|Carretera|Chácara|Colônia|Condomínio"
    "|Conjunto|Contrada|Corso|Cuesta|Estação|Estrada|Favela|Fazenda|Glorieta|Incrocio|Jardim|Ladeira|Lago|Lagoa|Largo|Loteamento|Morro|Núcleo"
    "|Parque|Pasadizo|Pasaje|Paseo|Passarela|Pátio|Piazza|Piazzetta|Plaza|Praça|Praia|Quadra|Rambla|Recanto|Residencial|Rodovia|Ronda|Rotonda|Rua"
    "|Setor|Sítio|Strada|Stretto|Travesía|Travessa|Trecho|Trevo|Vale|Vereda|Via|Viaduto|Vial|Viale|Vicolo|Viela|Vila|ul\\.|ulica"
)
_HAN: Final = r"[\u4e00-\u9fff\u3040-\u30ff]"
_ADDRESSES: Final = (
    re.compile(
        rf"\b{_HOUSE}\s+(?:[NSEW]\.?\s+)?(?:{_CAPITAL}\s+){{1,3}}(?:{_STREETS})\b\.?{_DOOR}"
        rf"(?:,\s*{_CAPITAL}(?:\s{_CAPITAL}){{0,2}})?(?:,?\s+[A-Z]{{2}}\s+\d{{5}}(?:-\d{{4}})?)?"
    ),
    re.compile(
        # A label, and what follows up to the end of the line.
        r"(?:\b(?:home\s+)?(?:address|adresse|anschrift|direcci[oó]n|indirizzo|endere[cç]o|domicilio|adres)|адрес|地址|住址|住所|주소|العنوان|पता)"
        r"\s*[:：]\s*(?P<value>[^\n.;。；]{3,80})",
        re.IGNORECASE,
    ),
    re.compile(r"\b(?:P\.?\s?O\.?|Post\s+Office)\s*Box\s+\d+\b", re.IGNORECASE),
    re.compile(rf"\b{_CAPITAL}(?:\s{_CAPITAL}){{0,2}},\s*[A-Z]{{2}}\s+\d{{5}}(?:-\d{{4}})?\b"),
    re.compile(r"\b(?:[A-Z]{1,2}\d[A-Z]|[A-Z]{1,2}\d{1,2})\s\d[ABD-HJLNP-UW-Z]{2}\b"),
    re.compile(
        r"\b[A-ZÄÖÜ][\wäöüß.-]*[\s-]?(?:[Ss]tra(?:ß|ss)e|[Ss]tr\.|[Ww]eg|[Pp]latz|[Gg]asse|[Aa]llee|[Dd]amm|[Rr]ing|[Uu]fer|[Ss]teig|[Mm]arkt|"
        rf"straat|laan|gracht|plein)\s+{_HOUSE}(?:,?\s+\d{{4,5}}\s+[A-ZÄÖÜ]\w+)?"
    ),
    re.compile(
        rf"\b{_HOUSE}\s*(?:bis|ter)?,?\s+(?:rue|avenue|boulevard|place|chemin|all[ée]e|impasse|quai|cours|route)\s+"
        rf"(?:(?:de|du|des|la|le|les|l['’]|d['’])\s*)*{_CAPITAL}(?:\s{_CAPITAL}){{0,2}}(?:,?\s+\d{{5}}\s+{_CAPITAL})?"
    ),
    re.compile(
        rf"\b(?:{_ROMANCE})\s+(?:(?:de|del|della|dei|la|las|los|lo|do|da|dos|das)\s+)*{_CAPITAL}(?:\s+(?:de\s+|da\s+|do\s+)?{_CAPITAL}){{0,3}},?\s*"
        rf"(?:n[º°.]?\s*)?{_HOUSE}{_DOOR}"
    ),
    re.compile(
        r"(?<!\w)(?:ул\.|улица|просп\.|пр\.|проспект|пер\.|переулок|бул\.|бульвар|ш\.|шоссе|наб\.|набережная|алл\.|аллея|пл\.|площадь)\s+[\w.-]+(?:\s\w+){0,2},?\s*"
        r"(?:д\.|дом)\s*\d+(?:/\d+)?(?:,?\s*(?:к\.|корп\.|стр\.|кв\.|квартира)\s*\d+)*"
    ),
    re.compile(
        rf"(?:{_HAN}{{2,8}}?(?:省|市|自治区|特别行政区|都|府|県|道))?{_HAN}{{0,20}}?{_HAN}{{2}}(?:市|区|區|县|縣|郡|町|村){_HAN}{{0,14}}?"
        rf"(?:\d+丁目(?:\d+番(?:地)?)?(?:\d+号)?|\d+(?:号|號|弄|番地?)(?:\d+号)?|(?:路|街|道|巷)(?:\d+(?:号|號)?|[A-Za-z]座))(?:[\d\u4e00-\u9fff]{{0,8}}?[室楼])?"
        r"|〒\s?\d{3}-\d{4}"
    ),
    re.compile(
        r"(?:[가-힣]+(?:시|도)\s+)+(?:[가-힣]+(?:구|군|시)\s+)?[가-힣0-9]+(?:로|길|동|가)\s*\d+(?:-\d+)?"
    ),
)
_EMAIL: Final = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}(?:@|\s?\[at\]\s?|＠)[\w-]+(?:\.[\w-]+)*\.\w{2,}"
)
_URL: Final = re.compile(
    r"(?:\b(?:https?|ftp)://|\bwww\.)[^\s<>\"'{}|\\^`\u3000-\u303f\uff00-\uffef]+", re.IGNORECASE
)
_OF_A_CASE: Final = re.compile(
    r"(?:^|[/?&=_-])(?:cases?|patients?|stud(?:y|ies)|accession|encounters?|exams?)(?=[/?&=_.\d-]|$)",
    re.IGNORECASE,
)
_CASE_HOSTS: Final = ("radiopaedia.org", "medpix", "eurorad.org", "casereports", "figure1.com")
_BY_PATTERN: Final = (
    *(("email", (_EMAIL,)), ("number", _NUMBERS), ("phone", _PHONES), ("address", _ADDRESSES)),
)


def find_numbers(text: str) -> Iterator[Found]:
    """Yield every record number, telephone number, address, e-mail and link."""
    for match in _URL.finditer(text):
        link = match.group().rstrip(".,;:!?)]")
        yield _kind_of_link(link), match.start(), match.start() + len(link)
    for match in _CITIZEN.finditer(text):
        if _is_citizen(match.group()):
            yield "number", *match.span()
    for kind, patterns in _BY_PATTERN:
        for pattern in patterns:
            part = "value" if "value" in pattern.groupindex else 0
            for match in pattern.finditer(text):
                yield kind, *match.span(part)
    if _PLUS.search(text):
        yield from _international(text)


def _international(text: str) -> Iterator[Found]:
    """Yield telephone numbers with a country code that are possible in that country."""
    from phonenumbers import Leniency, PhoneNumberMatcher

    for match in PhoneNumberMatcher(text, None, leniency=Leniency.POSSIBLE):
        yield "phone", match.start, match.end


def _kind_of_link(link: str) -> str:
    try:
        parts = urlsplit(link if "://" in link else f"https://{link}")
    except ValueError:  # the standard library, about half an IPv6 address
        return "url"
    host, rest = parts.netloc.lower(), f"{parts.path}?{parts.query}"
    named = any(name in host for name in _CASE_HOSTS) or _OF_A_CASE.search(rest)
    return "case_link" if named and len(rest) > 2 else "url"


def _is_citizen(number: str) -> bool:
    """Return whether 18 digits have the check digit of GB 11643, the Chinese identity number."""
    total = sum(
        weight * int(digit) for weight, digit in zip(_CITIZEN_WEIGHTS, number, strict=False)
    )
    return "10X98765432"[total % 11] == number[-1].upper()
