"""Find names of persons in text, each by evidence; a capital letter alone is none.

Evidence is the caret of a DICOM name; a title or a label before it; or a given name next to a
family name, both from lists. So a disease that is named after a person stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from curation.privacy.name_lists import folded, name_lists

_CARET: Final = re.compile(r"\b[^\W\d_][\w'’-]*\^[^\W\d_][\w'’-]*(?:\^[\w.'’-]*){0,3}")
_WORD: Final = re.compile(r"[^\W\d_](?:[^\W\d_]|['’](?=[^\W\d_])|-(?=[^\W\d_]))*")
_GAP: Final = re.compile(r"(?: |, |\. |\.|\u00a0|·|・)?")
TITLES: Final = frozenset(
    ("Mr", "Mrs", "Ms", "Miss", "Dr", "Prof", "Professor", "Doctor", "Nurse", "Sir", "Herr", "Frau", "Monsieur",
     "Madame", "Mme", "Mlle", "Señor", "Señora", "Sr", "Sra", "Srta", "Dott", "Dottor", "Signor",
     "Signora", "Sig", "Dra", "Doutor", "Doutora", "Dhr", "Mevr", "Господин", "Госпожа",
     "Доктор", "Врач", "Пациент", "Пациентка")
)  # fmt: skip
_WORDS_TOO: Final = frozenset(("Miss", "Doctor", "Nurse", "Sir", "Professor", "Врач", "Доктор"))
"""Titles that are also words of their own, so that a listed name must follow."""
_LABELS: Final = re.compile(
    r"(?:\b(?:(?:patient|pt|subject|client|physician|doctor|radiologist|operator|uploader|author|nurse|mother|father"
    r"|reviewer|technologist|relative|guardian|kin|child)(?:['’]?s)?(?:\s+(?:full\s+)?name)?|(?:full|first|last|family|given|sur|maiden)"
    r"[\s-]?name|name|(?:reported|dictated|signed|read|verified|approved|performed|referred|uploaded|requested|seen"
    r"|examined)\s+by|attn|name\s+des\s+patienten|patientenname|patient(?:in)?|nachname|vorname|nombre(?:\s+del\s+paciente)?|paciente|apellidos?"
    r"|nom(?:\s+du\s+patient)?|prénom|cognome|nome(?:\s+do\s+paciente)?|paziente|naam|patiënt|imię|nazwisko|pacjent"
    r"|hasta(?:\s+adı)?|фио|ф\.и\.о\.|имя|фамилия|отчество|пациент(?:ка)?|врач|اسم(?:\s+المريض)?|المريض|रोगी(?:\s+का\s+नाम)?|नाम|रुग्ण)"
    r"\s*(?:(?:is|ist|es|est)\s*)?[:：=]\s*|\b(?:named|(?:name|nombre|nom|nome)\s+is|signed|dictated\s+by|reported\s+by"
    r"|seen\s+by|referred\s+by|read\s+by|patient|paciente|patientin|пациент(?:ка|а|ки)?)\s+)",
    re.IGNORECASE,
)
_WITHOUT_CAPITALS: Final = (
    re.compile(
        r"(?:患者|病人|姓名|患儿|患者姓名|联系人|主治医[师生]|医[师生]|氏名|患者名)\s*(?:为|是|叫|[:：])?\s*"
        r"(?P<name>[赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜戚谢邹喻苏潘葛范彭郎鲁韦马苗方俞任袁柳鲍史唐费薛雷贺倪汤"
        r"滕罗毕郝安常乐于傅齐康伍余元顾孟黄穆萧尹姚邵汪毛狄米伏成戴宋庞熊纪舒项董梁杜阮蓝季贾江童颜郭梅林钟徐邱骆高夏蔡田樊胡凌霍万柯卢莫"
        r"丁邓石崔龚程裴陆翁段侯武刘景龙叶白赖乔谭劳申曾關關趙錢孫吳鄭馮陳衛蔣韓楊許呂張嚴蘇魯馬湯羅畢齊顧黃蕭龐項賈顏鐘駱盧鄧龔陸劉葉賴"
        r"喬譚][\u4e00-\u9fff]{1,2}?)(?=\s|[,，。、;；:：(（)）\d]|男|女|于|在|因|的|说|$|先生|女士|主诉|出生|年龄|住院)"
    ),
    re.compile(r"(?<![\u4e00-\u9fff])(?P<name>[\u4e00-\u9fff]{2,4})(?:先生|女士|小姐|さん|様|氏)(?![\u4e00-\u9fff]{2,}[氏])"),
    re.compile(r"(?:氏名|患者名|患者|姓名)\s*[:：]\s*(?P<name>[\u3040-\u30ff\u4e00-\u9fff]{1,5}(?:[ 　][\u3040-\u30ff\u4e00-\u9fff]{1,5})?)"),
    re.compile(r"(?:환자|성명|이름|담당의)\s*(?:명|이름)?\s*[:：]?\s*(?P<name>[김이박최정강조윤장임한오서신권황안송류전홍고문양손배백허유남심노하곽성차주우구민진지엄채원천방공현함변염여추도소석선설마길연위표명기반왕금옥육인맹제모탁국어은편][가-힣]{2})(?![가-힣]{2,})"),
    re.compile(r"(?<![가-힣])(?P<name>[가-힣]{2,4})\s?(?:씨|님)(?![가-힣]{2,})"),
    re.compile(
        r"(?:(?:اسم\s+المريض|المريضة?|السيدة?|الدكتورة?|الطبيبة?)\s*[:：]?\s+(?:هو\s+)?)(?P<name>[\u0621-\u064a]{2,}(?:\s[\u0621-\u064a]{2,}){1,2})"
    ),
    re.compile(r"(?:श्री(?:मती)?|डॉ\.?|नाम|रोगी का नाम)\s*[:：]?\s*(?P<name>[\u0900-\u097f]{2,}(?:\s[\u0900-\u097f]{2,})?)"),
    re.compile(r"(?P<name>\b[А-ЯЁ][а-яё]+(?:-[А-ЯЁ][а-яё]+)?\s[А-ЯЁ]\.\s?[А-ЯЁ]\.)"),
    re.compile(r"(?P<name>\b[А-ЯЁ]\.\s?[А-ЯЁ]\.\s?[А-ЯЁ][а-яё]+)"),
    re.compile(r"(?P<name>\b[А-ЯЁ][а-яё]+\s[А-ЯЁ][а-яё]+\s[А-ЯЁ][а-яё]+(?:ович|евич|ична|овна|евна)[а-яё]{0,2})\b"),
)  # fmt: skip
_PARTICLES_LISTED: Final = """
da de del della der den di do dos du el al bin ibn la le van von zu zum ter ten y e
"""
_PARTICLES: Final = frozenset(_PARTICLES_LISTED.split())
# Given names that are also words: they count next to a family name only inside a title or label.
_WORDS_LISTED: Final = """
a an and any are art as at august bay be bill bone brain breast but by can case chance chase
child clinical cortex dean do dose drew ester faith fe for from grace grade grant has have he
head heart hip his hope how if in iris is it jack joy june kidney lad lane left lobe long low
may mark mary med mild my no north not of on one or page pat penny per pet ray read real rich
right rise rob rose sad sandy scan she should signal skin so some south spine stage star sue
summer sun tan the their this tissue to true type us van vein very vitro von was west what when
white who why will winter with you young acute chronic normal lateral medial anterior posterior
upper lower large small male female cord marine beta side nail royal french bird alpha love park
misty infant unknown doctor nova variant dutch german english spanish roman latin drug drugs
spinal effects scientists needs consider bring general oral early indiana major less age arch
mal cavity information children among hong kong little english spain france updated guidelines
regularly image images question answer does did which where there these those magnetic resonance
angel cancer virus test new state american national university hospital institute center centre
college school department saint san santa los las april christian victoria virginia georgia
carolina israel jordan chad china kenya india paris florence sierra asia africa america europe
england london bethesda maryland dallas madison jackson houston austin lincoln washington cat
dog gene genes protein cell cells down syndrome disease mayo clinic data table figure study
studies group control also both each during after before our we all most many more other such
than that they only then no yes crohn parkinson hodgkin cushing alzheimer graves addison wilson
turner marfan huntington meckel barrett paget ewing kaposi wegener behcet sjogren raynaud gray
hashimoto hirschsprung guillain barre charcot marie tooth
"""
_WORDS: Final = frozenset(_WORDS_LISTED.split())
_ALSO_GIVEN_LISTED: Final = """
austin mark marie robin joe jordan chad jack grace faith hope joy bill dean ray christian
victoria virginia georgia carolina israel angel rose ruth pat sandy drew chase lane rob iris
sierra paris florence madison jackson lincoln wilson turner huntington barrett summer winter
will luis
"""
_ALSO_GIVEN: Final = frozenset(_ALSO_GIVEN_LISTED.split())
"""Of these, given names that count where a family name follows that is neither word nor given name."""
_NOT_A_PERSON_AFTER_LISTED: Final = """
disease diseases disorder syndrome syndromes sign signs test tests score scale index criteria
classification lymphoma sarcoma tumor tumour tumors palsy paralysis contracture fracture
deformity type method technique procedure operation body bodies sequence cell cells node nodes
ligament canal duct space triangle line lines fossa pouch area artery vein nerve foundation
hospital center centre clinic institute university college school law principle effect stain
reaction anemia anaemia ataxia dystrophy dementia chorea encephalopathy anomaly malformation
catheter stent trial study gene mutation protein virus fever ulcer hernia esophagus oesophagus
phenomenon maneuver manoeuvre street road avenue county city state association society
organization organisation program project network award model laboratory laboratories inventory
questionnaire plot regression curve variant kindred family s
"""
_NOT_A_PERSON_AFTER: Final = frozenset(_NOT_A_PERSON_AFTER_LISTED.split())
_NAMELESS: Final = re.compile(
    r"(?!.*(?:name|patient|pt\b|subject|paciente|paziente|patiënt|pacjent|hasta|пациент|nombre|nom\b|nome|naam|имя|фамилия|фио)).*[a-zа-я]",
    re.IGNORECASE,
)
"""Labels of people that do not say that a name follows: what does must be a listed one."""
MOST_WORDS: Final = 4
_LISTING: Final = re.compile(r", (?:and )?[^\W\d_a-z]|,? and ")
Span = tuple[int, int]


def find_names(text: str) -> Iterator[Span]:
    """Yield start and end of each name of a person. Raises ModelError without the name lists."""
    for match in _CARET.finditer(text):
        yield match.span()
    for pattern in () if text.isascii() else _WITHOUT_CAPITALS:
        for match in pattern.finditer(text):
            yield match.span("name")
    yield from _cased_names(text)


def words_of_names(names: Iterable[str]) -> set[str]:
    """Return the words of names that name the person also by themselves, and the entire names."""
    whole = [name for name in names if name]
    words = {word.group() for name in whole for word in _WORD.finditer(name)}
    alone = {
        word
        for word in words
        if len(word) > 2 and _is_capitalised(word) and folded(word) not in _WORDS
    }
    return alone | set(whole)


def _cased_names(text: str) -> Iterator[Span]:
    """Yield names in scripts with capitals, by title, label or lists."""
    words = list(_WORD.finditer(text))
    starts = {word.start(): place for place, word in enumerate(words)}
    for match in _LABELS.finditer(text):
        place = starts.get(match.end())
        if place is not None:
            label = match.group().strip().lower()
            if label[-1] not in ":：=":
                yield from _name_from(text, words, place, 2, listed=True)
            else:
                yield from _name_from(
                    text, words, place, 1, listed=_NAMELESS.match(label) is not None
                )
    for place, word in enumerate(words):
        if word.group() in TITLES and place + 1 < len(words):
            gap = text[word.end() : words[place + 1].start()]
            if gap in (" ", ". ", ".", "\u00a0", ".\u00a0"):
                listed = word.group() in _WORDS_TOO
                yield from _name_from(text, words, place + 1, 1, commas=False, listed=listed)
    yield from _listed_pairs(text, words)


def _name_from(
    text: str,
    words: Sequence[re.Match[str]],
    place: int,
    least: int,
    *,
    commas: bool = True,
    listed: bool = False,
) -> Iterator[Span]:
    """Yield the run of capitalised words from `place`, of at least so many words.

    Args:
        text: The text.
        words: Its words.
        place: The word at which a name may begin.
        least: How many words a name must have.
        commas: Whether a comma may stand inside, as between family and given name.
        listed: Whether one of the words must be in the lists.
    """
    count, last = 0, place
    for number in range(place, min(place + MOST_WORDS + 2, len(words))):
        word = words[number].group()
        gap = text[words[number - 1].end() : words[number].start()] if number > place else ""
        if not _GAP.fullmatch(gap) or ("," in gap and not commas):
            break
        if gap == ". " and len(words[number - 1].group()) > 1:
            break  # the end of a sentence, not of an initial
        if word in _PARTICLES and count:
            continue
        if not _is_capitalised(word) or folded(word) in _WORDS or count == MOST_WORDS:
            break
        count, last = count + 1, number
    follows = words[last + 1].group().lower() if last + 1 < len(words) else ""
    adjacent = last + 1 < len(words) and text[words[last].end() : words[last + 1].start()] in (
        " ",
        "'",
        "’",
    )
    if count < least or (adjacent and follows in _NOT_A_PERSON_AFTER):
        return
    if listed and not any(_is_listed(word.group()) for word in words[place : last + 1]):
        return
    if count > 1 or len(words[place].group()) > 1:
        yield words[place].start(), words[last].end()


def _is_listed(word: str) -> bool:
    return folded(word) in name_lists().given or folded(word) in name_lists().family


def _listed_pairs(text: str, words: Sequence[re.Match[str]]) -> Iterator[Span]:
    """Yield a given name before a family name, or a family name, a comma and a given name."""
    for place in range(len(words) - 1):
        one = words[place].group()
        if not _is_capitalised(one) or len(one) < 2:
            continue
        end = place + 1
        while end < len(words) - 1 and end < place + 3 and _joins(words[end].group()):
            end += 1
        other = words[end].group()
        if not _is_capitalised(other) or len(other) < 2:
            continue
        between = text[words[place].end() : words[end].start()]
        if not _is_between(between):
            continue
        first, second = folded(one), folded(other)
        if second in _WORDS or _is_of_a_thing(text, words, end):
            continue
        if "," in between:
            first, second = second, first
            if _LISTING.match(text, words[end].end()):
                continue
        plain = between == " " and _is_plain(one) and _is_plain(other)
        if _is_listed_pair(first, second, plain):
            yield words[place].start(), words[end].end()


def _is_listed_pair(given: str, family: str, plain: bool) -> bool:
    """Return whether two folded words are a given and a family name.

    `plain` allows a family name that is in no list.
    """
    lists = name_lists()
    if given not in lists.given:
        return False
    if given in _WORDS:
        return given in _ALSO_GIVEN and family in lists.family and family not in lists.given
    return family in lists.family or (plain and family not in _NOT_A_PERSON_AFTER)


def _is_plain(word: str) -> bool:
    """Return whether a word of three letters or more is a capital and then small letters."""
    return len(word) > 2 and word.isalpha() and word[1:].islower()


def _joins(word: str) -> bool:
    return word in _PARTICLES or (len(word) == 1 and word.isupper())


def _is_between(gap: str) -> bool:
    """Return whether two words belong to one name: a space, a comma, initials or particles."""
    if gap in (" ", ", ", ",", "\u00a0", "^"):
        return True
    parts = gap.replace(".", " ").split()
    return bool(parts) and gap[0] == " " and all(_joins(part) for part in parts)


def _is_of_a_thing(text: str, words: Sequence[re.Match[str]], place: int) -> bool:
    """Return whether what follows makes a name that of a disease, a sign or a place."""
    for number in range(place + 1, min(place + 5, len(words))):
        gap = text[words[number - 1].end() : words[number].start()]
        if gap not in (" ", "'", "’", "-", "–"):
            return False
        if words[number].group().lower() in _NOT_A_PERSON_AFTER - {"s", "family"}:
            return True
    return False


def _is_capitalised(word: str) -> bool:
    """Return whether a word is written as names are: a capital, then small letters or all capitals."""
    return word[0].isupper() and (
        word[1:].islower()
        or word.isupper()
        or not word.isalpha()
        or word[:2] in ("Mc", "Ma", "De", "La", "Di", "Le", "O’", "O'")
    )
