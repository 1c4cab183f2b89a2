"""What a reply claims of each option: asserted, denied, or merely listed.

Works on text in which every mention of an option is one character (`mentions`). The text is cut
into clauses, so that a negation reaches no further than its own clause. An option counts as
asserted only in a clause that says so: alone ("so B"), as a subject ("B is correct") or behind a
verb of choice or finding ("I choose B", "it is B"). Whatever fits none of these says nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from evaluation.scoring.hypotheses import without_hypotheses
from evaluation.scoring.mentions import FIRST_MARK, LED, MARK
from evaluation.scoring.ticks import mark_verdicts

JOIN: Final = "\ue080"
# Phrases that hold a negation and deny nothing.
IDIOM: Final = re.compile(
    r"(?<![a-z])(?:(?:there\sis\s|i\shave\s)?(?:no|without(?:\sa|\sany)?)\s(?:doubt|question)"
    r"(?:\s(?:about\s(?:it|that)|that))?|undoubtedly|not\sonly|not\sjust|not\smerely|no\swonder)"
    r"(?![a-z])|毫?无疑问?|毋庸置疑|不仅仅?|不但|不只|不止|没错|没问题"
)
QUESTION: Final = re.compile(r"(?:\A|(?<=[.;!?。\n]))[^.;!?。\n]*\?")
ALSO: Final = re.compile(
    r"\W{0,3}(?:(?:is|are|should|could|may|might|can|must)\s)?(?:too|also|as\swell)(?![a-z])|也"
)
ASKED: Final = re.compile(rf"(?:\A|(?<=[.;!?。\n]))\s{{0,9}}({MARK}){LED}?\s?\?")
BETTER: Final = re.compile(rf"(?<={MARK})\s?>{{1,3}}\s?(?={MARK})")
LESS: Final = re.compile(r"(?<!not\s)less\s\w{1,20}\sthan(?![a-z])")
# What keeps a mention from being a claim: doubt, what may be, what others say, what one looks for.
WEAK: Final = re.compile(
    r"(?<![a-z])(?:possib\w+|perhaps|maybe|might|may|could|would|should|can|consider\w*|some"
    r"|compar\w+|differential|worth|question|ask(?:s|ed|ing)?|help|history|previous|prior|known"
    r"|treat\w*|risk|suspicio\w+|suspect\w*|concern\w*|whether|if|either|versus|vs|please|torn"
    r"|between|unclear|uncertain|sure|test|check|look\sat|evaluat\w+|assess\w*|need\w*|states?|says?)"
    r"(?![a-z])|可能|也许|或许|怀疑|疑似|是否|还是|假如|如果|鉴别|病史|建议|需要|检查|题目|问题|对比"
)
# General knowledge names an option to say what it looks like: "as in pneumonia", "typical of".
GENERAL: Final = re.compile(
    r"(?<![a-z])(?:as\sin|seen\s(?:in|with)|typical\s(?:of|for)|occurs?\s(?:in|with)|common\sin"
    r"|(?:features|signs|findings|hallmark|criteria)\s(?:of|in|for)|such\sas|like|e\.?g|usually"
    r"|often|commonly|requires?|for|about|than|in\scases?\sof)(?![a-z])[^,]{0,40}$|常见于|见于|好发于"
)
# Another noun behind it makes the option a mere attribute: "pneumonia season", "normal heart size".
QUALIFIES: Final = re.compile(
    r"\s(?!(?:in|on|at|of|with|within|is|are|was|and|or|seen|visible|present|located|that|which|here"
    r"|noted|due|involving|affecting|measuring|to|by|from|over|near|likely|best|more|most|rather|the"
    r"|chest|study|image|scan|film|radiograph|x-?ray|lesion|mass|nodule|tumou?r|finding|option"
    r"|instead|an?|fits?|explains?|it|as|i|we|better|clearly|there|this|side|\w+\W*$)(?![a-z]))[a-z]"
)
# "In the left lung" says where, whatever noun follows.
WITHIN: Final = re.compile(r"(?<![a-z])(?:in|on|within|at|over)\s(?:the\s)?$")
# "Pneumonia is an infection" explains a word and reports no finding.
DEFINES: Final = re.compile(
    r"\s(?:is|are|was|were|has|have|had|refers|means|denotes|describes|involves|causes|includes?)(?![a-z])"
    r"(?!\s(?:\w+ly\s)?(?:in|on|at|within|there|located|the\s(?:most|best|only|likel|one|correct|right))(?![a-z]))"
)
# "A pneumothorax would be visible" says what is missing.
WOULD_SHOW: Final = re.compile(
    r"\W{0,4}(?:would|should)\s(?:\w+\s){0,3}(?:present|seen|visible|evident|identified|observed"
    r"|demonstrated|shown?|appear)(?![a-z])"
)
DISOWNS: Final = re.compile(
    r"\W*(?:but\s)?(?:i|we|that|this|it|these|those|such|none|neither)(?![a-z])[^\ue000-\ue01f]{0,24}"
    r"(?<![a-z])(?:(?:not|no|never|absent|unlikely|wrong|false)(?![a-z])|\w{1,8}n't)"
)
_SAME_LINE: Final = (
    f"{LED}?"
    r"\s{0,3}(?:,?\s?(?:and/or|and|or|nor|as\swell\sas|plus)(?![a-z])|[,/&+、或和与及]|以及|或者)"
    r"\s{0,3}(?:an?\s|the\s|option\s|both\s|possibly\s|maybe\s|perhaps\s)?\s{0,3}"
)
NEXT: Final = re.compile(rf"(?P<join>{_SAME_LINE})|(?P<gap>[\s.;:,、。)\]>\-–—|{LED}]{{0,12}})")
CONJUNCTION: Final = re.compile(r"(?<![a-z])(?:and|n?or|plus|well\sas)(?![a-z])|[&和或与及]")
SPLIT: Final = re.compile(
    r"[.;!?。,\n:]+|\s[-–—]+\s|(?<![a-z])(?:(?<!all\s)(?<!thing\s)(?<!none\s)but|however|while|whereas|although|though|because"
    r"|since|as(?!\s(?:the|my|an?)\s(?:answer|correct|most|best))|so|therefore|thus|hence|which|where|when"
    r"|given|due\sto|based\son|with(?=\s(?:no|an?|the)\s)|in\sview\sof|considering)(?![a-z])"
    r"|(?=(?<![a-z])(?:and\snot|rather\sthan|instead\sof|not\s(?:option\s|the\s|an?\s)?[\ue000-\ue01f]))"
    r"|(?=(?:而不是|而非|不是|并非)\W*(?:选项)?[\ue000-\ue01f])|因为|所以|因此|由于|但是?|故|而且"
)
CONDITION: Final = re.compile(
    r"\s{0,3}(?:and\s|then\s)?(?:if|unless|whether|suppos\w*|assum\w*|were|had|to|in\sorder|如果|假如|若|是否)(?![a-z])"
)
PAST: Final = re.compile(
    r"(?<![a-z])(?:at\sfirst|initially|originally|i\sthought|first\s(?:thought|glance)|tempt\w*)"
    r"(?![a-z])|起初|最初|一开始"
)
UNDECIDED: Final = re.compile(
    r"(?<![a-z])(?:can\s?not|can't|could\snot|couldn't)\s(?:\w+\s)?(?:be\s(?:\w+\s)?)?"
    r"(?:exclude|rule|eliminate|dismiss|distinguish|tell|determine)|not\s(?:in\s?correct|wrong)"
    r"|(?:不能|难以|无法|不可)\S{0,3}(?:排除|除外|区分|鉴别|确定|判断)"
)
NEGATIVE: Final = re.compile(
    r"(?<![a-z])(?:not?|nothing|never|nor|neither|without|cannot|exclud\w{1,4}|rul(?:e[sd]?|ing)\s?out"
    r"|rul(?:e[sd]?|ing)(?=\W*[\ue000-\ue01f]\W*out)|eliminat\w{1,4}|reject\w{0,4}|discard\w{0,4}"
    r"|rather\sthan|instead\sof|other\sthan|except|apart\sfrom|doubt\w{0,4}|unlikely|against"
    r"|than|wrong|incorrect|false|dismiss\w{0,4}|isnt|less\slikely|absence\sof|lack\w{0,3}"
    r"|negative\sfor|rather|excluding|all\sbut|(?:any|every)thing\sbut)(?![a-z])|n't(?![a-z])"
    r"|[不非没无未]|排除|除了|除外|错误|否"
)
_BE: Final = (
    r"(?:is|are|was|were|be|been|seems?(?:\sto\sbe)?|looks?|appears?(?:\sto\sbe)?|would|should|must"
    r"|has|have|could|can|will|may|might|do|does|did|to|remains?|因此|是|为|应|也|也是|更|均|都)"
)
_ADVERB: Final = (
    r"(?:that|the|my|an?|very|most|more|quite|clearly|therefore|thus|also|probably|definitely|only|single"
    r"|certainly|really|far|much|highly|almost|here|indeed|hence|both|all|best|obviously|so|i'd|say"
    r"|least|less|completely|entirely|simply|i|think|believe|所以|则|最|明显|显然|比较|完全|可能性?|可以|可)"
)
WRONG: Final = re.compile(
    rf"\W{{0,4}}(?:选?项)?(?:{_BE}\s?|{_ADVERB}\s?){{0,6}}"
    r"(?:not(?![a-z])(?!\sonly)|n't|isnt|isn't|aren't|wasn't|doesn't|don't|can't|cannot|couldn't"
    r"|wouldn't|won't|in\s?correct|wrong|false|unlikely|less|least|improbable|implausible|inaccurate"
    r"|excluded|ruled\sout|eliminated|rejected|dismissed|out(?=\W*$)|no(?=\W*$|\s?[-–—,:;.])|never"
    r"|inconsistent|unsupported|inappropriate|absent|impossible|contradicted|fails|spared|unaffected|uninvolved"
    r"|[不非没无未错](?!错|疑)|排除|除外|小|低|否|[❌✗✘×])"
    r"|\s{0,3}out(?![a-z])"
)
RIGHT: Final = re.compile(
    rf"\W{{0,4}}(?:选?项)?(?:{_BE}\s?|{_ADVERB}\s?){{0,7}}"
    r"(?:(?:correct|right|true|likely|likeliest|probable|answer|choice|option|fits?|match(?:es)?"
    r"|appropriate|consistent|supported|accurate|yes|plausible|suitable|favou?red|preferred"
    r"|diagnosis|explanation|finding|fit|match|candidate|present|seen|visible|evident|identified|observed"
    r"|demonstrated|shown|best|selected|chosen|compatible|involved|affected|explains?|what)(?![a-z-])"
    r"|(?:is|does)(?=\W*$)|正确|对(?!比|称)|符合|成立|合适|最(?:有)?可能|可能性?(?:最|较)?大|[✅✔✓☑])"
)
_LEADS: Final = (
    "so|therefore|thus|hence|then|well|ok|okay|sure|finally|in|conclusion|summary|short|overall|and"
    "|clearly|definitely|certainly|probably|likely|most|possibly|perhaps|maybe|i|we|would|will|final"
    "|should|i'd|i'll|i'm|think|believe|say|guess|choose|chose|choosing|pick|select|selected|go|going"
    "|for|my|the|correct|best|right|answer|option|choice|letter|is|it|it's|that|that's|this|must|be"
    "|an?|with|to|have|impression|diagnosis|result|response|verdict|decision|here|only|leaves"
    "|leaving|by|elimination|process\sof|all|things|considered|opt|vote|am|confident|appropriate|one"
    "|suitable|plausible|reasonable|fitting|both|either|yes|now|actually|rather|instead|no|sorry|oh|hmm|assistant|could|might|may|most"
    "|我|很|非常|认为|觉得|应该?|选择?|选项|答案|正确|最终|结论|诊断|考虑|是|为|的|所以|因此|故|综上所?述?|可能|大概"
    "|就|最佳|本题|此题|项|更|倾向于?|也许|当然|肯定|其实|实际上"
)
# Possessive: a run of lead words is never tried again with another division.
BARE_BEFORE: Final = re.compile(rf"\W*+(?:(?>(?:{_LEADS})(?![a-z']))\W*+)*+")
BARE_BEHIND: Final = re.compile(
    r"\W*+(?:(?>(?:option|choice|answer|for\ssure|definitely|please|instead|here|i\s(?:think|believe|guess"
    r"|would\ssay)|is\smy\s(?:final\s)?(?:answer|choice|pick)|it\sis|then|probably|most\slikely|only"
    r"|alone|high|moderate|low|confidence|confident|sure|\d{1,3}\s?%|项|选项|吧|的|了|呢|我认为)(?![a-z]))\W*+)*+"
)
# A noun is a subject of its own only with nothing but an article before it: "the diagnosis is" and
# not "the heart size is", which speaks of something else.
_SUBJECT: Final = (
    r"(?:it|this|that|these|they|which|there|here|(?:(?<!\w\s)|(?<=the\s)|(?<=this\s)|(?<=these\s)"
    r"|(?<=my\s)|(?<=likely\s)|(?<=final\s)|(?<=best\s)|(?<=correct\s)|(?<=main\s))"
    r"(?:findings?|abnormality|lesion|condition|disease|pathology|image|picture|scan|x-?ray|x\sray"
    r"|radiograph|film|ct|mri|answer|option|choice|cause|organ|structure|modality|plane|diagnosis"
    r"|impression|patient|study|photo|figure|slide|result|conclusion|stain|view|sequence|marker"
    r"|type|procedure|device|name|size|number|count|location|site|side|grade|stage|level|age|sex))"
)
_MODAL: Final = (
    r"(?:is|are|was|looks?\slike|(?:appears|seems)(?:\sto\sbe)?|(?:must|would|should|could|may|might|can"
    r"|will)\s(?:well\s)?be|has|remains|'s)"
)
_FILLER: Final = (
    r"(?:an?|the|most|likely|probably|clearly|possibl[ey]|probable|large|small|left|right|sided"
    r"|bilateral|mild|moderate|severe|acute|chronic|typical|classic|of|features|signs|evidence|case"
    r"|definitely|certainly|called|named|known|as|indeed|just|in|fact|therefore|thus|actually|more"
    r"|option|choice|answer|consistent|compatible|with|suggestive|indicative|located|situated|found|seen|visible|to|very|highly|still"
    r"|better|一张|一幅|的|了|有|最|可能|明显|大量|少量|左侧|右侧|双侧|典型|选项|选择|出|一个|为|是|应)"
)
FRAME: Final = re.compile(
    rf"(?:(?<![a-z])(?:{_SUBJECT}\s?{_MODAL}|it's|that's|choose|chose|pick|select|selected|go|opt|settle"
    r"|favou?rs?|fits?|match(?:es)?|lean(?:ing)?\s(?:to|towards?)|vote|suggests?|suggesting|indicat(?:es?|ing)|shows?|showing|demonstrat(?:es?|ing)"
    r"|depicts?|reveals?|represents?|represent(?:ing)?|consistent\swith|compatible\swith"
    r"|points?\s(?:to|towards?)|diagnosis\sof|diagnose[ds]?|leaves?|identif(?:y|ies)|prefer"
    r"|thinking|answer|makes?|making|support(?:s|ing)?|conclude|confirms?|confirming|called)"
    r"(?![a-z])|选择?|诊断为?|考虑|提示|符合|显示|可见|应为|应该?是|(?:^|[这图片案果就也症像它能该实定然,])[是为]|支持"
    rf"|表现为|属于)\W*(?:for\s|that\s)?(?:{_FILLER}(?![a-z])\W*){{0,8}}$"
)
FRAME_BEHIND: Final = re.compile(
    r"\W*$|\s(?:chest\s|brain\s)?(?:radiograph|x-?ray|image|scan|study|film|ct|mri|examination)\W*$|\s{1,3}(?:in(?!\s(?:size|shape|position|appearance|contour|calib))|on|at|of|over|here|there"
    r"|and(?!\s[\ue000-\ue01f])|best|well|most|from|secondary|within|located|affecting|involving|today"
    r"|is\s(?:seen|present|visible|shown))(?![a-z])"
    r"|\W{0,3}(?:的可能|可能|的?表现|的?征象|的?(?:胸片|[Xx]线片?|影像|图像|图片|照片|片子)|的?改变|的?诊断|更|最|比较|吧|了|项|选项|作为)"
)


@dataclass
class Claims:
    """Places of the options that a text asserts, denies and lists."""

    asserted: set[int] = field(default_factory=set)
    denied: set[int] = field(default_factory=set)
    listed: set[int] = field(default_factory=set)
    affirmed: set[int] = field(default_factory=set)
    """Those of `listed` that a clause speaks of without doubt, comparison or general knowledge."""
    vague: frozenset[int] = frozenset()
    """Options that are said of many parts of a picture: "the heart is normal"."""
    disowned: bool = False
    """Whether a clause of its own takes something back: "I do not see that here"."""
    offered: bool = False
    """Whether several options are given where one answer should stand: "A or B"."""
    beside: bool = False
    """Whether an option is named as one more answer: "B too"."""


@dataclass
class Item:
    """One entry of a list of options: its place and the clauses about it."""

    place: int
    clauses: list[str] = field(default_factory=list)
    ends: bool = False
    """Whether an empty line follows."""
    explained: bool = False
    """Whether "Explanation" or the like follows, so that what comes then is about the answer."""


EXPLAINS: Final = re.compile(
    r"\W*(?:explanation|reason(?:s|ing)?|rationale|justification|discussion|analysis|why|解析|理由|解释|分析)"
)
GROUP: Final = re.compile(f"{MARK}(?:{JOIN}{MARK})*")


def read_claims(marked: str, vague: frozenset[int] = frozenset()) -> Claims:
    """Classify every mention of an option in a marked text."""
    text = mark_verdicts(IDIOM.sub(" ", marked))
    # A question names options without claiming them; one that is an option and no more asks for
    # the verdict behind it: "A? No. B? Yes."
    text = QUESTION.sub("\n", ASKED.sub(rf"\1{LED} ", text))
    text = without_hypotheses(BETTER.sub(" rather than ", text))
    claims = Claims(vague=vague)
    items: list[Item] = []
    in_list = False
    for clause in _clauses(_joined(text)):
        opened = _opened(clause)
        if opened is not None:
            items.append(opened)
            in_list = True
        elif in_list and not re.search(MARK, clause) and clause != PARAGRAPH:
            items[-1].clauses.append(clause)
        elif clause == PARAGRAPH and items:
            in_list, items[-1].ends = False, True
        elif items and EXPLAINS.match(clause):
            in_list, items[-1].explained = False, True
        else:
            in_list = False
            claims.disowned |= _disowns(clause)
            _read_clause(clause, claims)
    _read_items(items, claims)
    return claims


def _joined(text: str) -> str:
    """Mentions with nothing between them but "and", "or", commas or line ends, joined to groups.

    Over line and sentence ends only ascending letters make a group: the answer behind an echo of
    all options begins anew.
    """
    marks = list(re.finditer(MARK, text))
    group: set[str] = set()
    closing = False  # After "and" or "or" a list has had its last entry.
    out: list[str] = []
    done = 0
    for one, after in pairwise(marks):
        gap = NEXT.fullmatch(text, one.end(), after.start())
        group.add(one[0])
        # "Of A, B and C, B is best": a group names each option once.
        if not gap or after[0] in group:
            group, closing = set(), False
            continue
        ended = closing and "," in gap[0] and not CONJUNCTION.search(gap[0])
        closing = closing or CONJUNCTION.search(gap[0]) is not None
        beside = gap["join"] is not None or not re.search(r"[\n.;。]", gap["gap"])
        lines = text[one.end() : one.end() + 1] == LED or "\n" in gap[0]
        if (beside and not ended) or (lines and after[0] > one[0]):
            out += [text[done : one.end()], JOIN]
            done = after.start()
        else:
            group, closing = set(), False
    return "".join((*out, text[done:]))


PARAGRAPH: Final = "\n\n"


def _clauses(text: str) -> list[str]:
    """Clauses in order; an empty line is a clause of its own, as it ends a list's entry."""
    found: list[str] = []
    for number, part in enumerate(re.split(r"\n\s*\n", text)):
        found += [PARAGRAPH] if number else []
        found += [clause for clause in SPLIT.split(part) if clause and clause.strip()]
    return found


def _opened(clause: str) -> Item | None:
    """The list entry that a clause opens: one option with a list mark behind its letter."""
    text = clause.lstrip()
    if text[1:2] != LED or not re.match(MARK, text):
        return None
    return Item(ord(text[0]) - FIRST_MARK, [text[2:]])


def _read_clause(clause: str, claims: Claims) -> None:
    groups = list(GROUP.finditer(clause))
    if not groups or CONDITION.match(clause):
        return
    start = 0
    for place, group in enumerate(groups):
        end = groups[place + 1].start() if place + 1 < len(groups) else len(clause)
        before, behind = clause[start : group.start()], clause[group.end() : end]
        start = group.end()
        _read_group(group[0], before, behind.replace(LED, " "), claims, opens=place == 0)


def _read_group(group: str, before: str, behind: str, claims: Claims, *, opens: bool) -> None:
    places = {ord(mark) - FIRST_MARK for mark in group if mark != JOIN}
    before = LESS.sub(" ", before)
    whole = before + " " + behind
    if PAST.search(before):
        # What was thought at first is not thought any more.
        claims.denied |= places
    elif UNDECIDED.search(whole) or WOULD_SHOW.match(behind):
        claims.listed |= places
    elif NEGATIVE.search(before.replace("no, ", "")) or WRONG.match(behind):
        claims.denied |= places
    elif ALSO.match(behind):
        # "B too": one more answer beside another.
        claims.asserted |= places
        claims.beside = True
    elif len(places) > 1:
        claims.listed |= places
        bare = BARE_BEFORE.fullmatch(before) and BARE_BEHIND.fullmatch(behind)
        claims.offered |= bool(
            bare or ALSO.match(behind) or RIGHT.match(behind) or FRAME.search(before)
        )
    elif _asserts(before, behind, opens):
        claims.asserted |= places
    else:
        claims.listed |= places
        if _affirms(before, behind, vague=bool(places & claims.vague)):
            claims.affirmed |= places


def _asserts(before: str, behind: str, opens: bool) -> bool:
    if opens and BARE_BEFORE.fullmatch(before) and BARE_BEHIND.fullmatch(behind):
        return True
    if RIGHT.match(behind) and not NEGATIVE.search(before):
        return True
    return bool(FRAME.search(before) and FRAME_BEHIND.match(behind))


def _disowns(clause: str) -> bool:
    return not re.search(MARK, clause) and DISOWNS.match(clause) is not None


def _affirms(before: str, behind: str, *, vague: bool) -> bool:
    """Whether a clause that is no plain claim still speaks of its option as what is there."""
    if WEAK.search(before) or WEAK.search(behind) or NEGATIVE.search(behind):
        return False
    if GENERAL.search(before) or DEFINES.match(behind):
        return False
    if QUALIFIES.match(behind) and not WITHIN.search(before):
        return False
    return not vague or BARE_BEFORE.fullmatch(before) is not None


def _read_items(items: list[Item], claims: Claims) -> None:
    """Claims of the entries of an option list; a lone entry without a verdict is the answer."""
    places = {item.place for item in items}
    verdicts: dict[int, set[bool]] = {place: set() for place in places}
    for item in items:
        verdicts[item.place] |= _verdicts(item)
    for place, said in verdicts.items():
        lone = len(places) == 1 and not _is_number(items)
        if said == {True} or (not said and lone):
            claims.asserted.add(place)
        elif said == {False}:
            claims.denied.add(place)
        else:
            claims.listed.add(place)
            if not said and not _is_number(items):
                claims.affirmed.add(place)
    first = items[0] if items else None
    # An answer of its own above a discussion of the options: "B. Pleural effusion", an empty line,
    # then a list that goes back to A, or is headed as the explanation.
    apart = first and len(places) > 1 and first.ends and not verdicts[first.place]
    if first and apart and (first.explained or items[1].place < first.place):
        claims.asserted.add(first.place)
    open_places = {place for place, said in verdicts.items() if not said}
    if len(places) > 2 and len(open_places) == 1 and not claims.asserted:
        claims.asserted |= open_places


def _is_number(items: list[Item]) -> bool:
    """Whether nothing but a number is said of the option: "A: 0.05" is a probability."""
    said = [clause for item in items for clause in item.clauses if clause.strip()]
    return bool(said) and all(NUMBER.fullmatch(clause) for clause in said)


NUMBER: Final = re.compile(r"\W*\d+\W*")


def _verdicts(item: Item) -> set[bool]:
    """What the clauses about an option say of it: True, False, both or neither.

    The first clause may begin with a verdict ("unlikely, no air"), others must be one ("so
    unlikely"): "no air" is no verdict on the option.
    """
    said: set[bool] = set()
    for number, clause in enumerate(item.clauses):
        text = clause.strip()
        if UNDECIDED.search(text):
            continue
        ends = WRONG.match(text), RIGHT.match(text)
        for found, value in zip(ends, (False, True), strict=True):
            if found and (number == 0 or len(text) - found.end() < 24):
                said.add(value)
                break
    return said
