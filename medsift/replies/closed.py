"""Read yes or no clause by clause, in English and Chinese.

An answer word of its own ("Yes", "No,", "so yes", "True") outweighs statements ("there is no
fracture"), since those may answer a question asked the other way round. Two answer words that
contradict each other, and statements that do where there is no answer word, say nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from medsift.replies.reading import Reading
from medsift.replies.spans import fold
from medsift.replies.unstated import withdraws, without_hypotheses

HAN: Final = "[\u3400-\u9fff]"
_YES: Final = r"(?:yes|yeah|yep|yup|yea|aye|affirmative)(?![a-z0-9])"
# "No-contrast CT" denies nothing.
_NO: Final = r"(?:nope|nah|no)(?!-?[a-z0-9])"
_PAIR: Final = r"\s{0,3}(?:/|\||(?:or|and|nor)(?:\snot)?|,\s?or|、|还是|或者?|和|与)\s{0,3}"
_WORD: Final = r"(?<![a-z0-9])"
_ASKED: Final = "(?:是否|是不是|有没有|有无|能否|能不能|可否|会不会|对不对)"
_UNABLE: Final = "(?:无法|不能|难以|未能|没办法|没法|不好|很难|不可)"
_JUDGE: Final = (
    "(?:判断|判定|确定|确认|明确|辨别|识别|看出|看清|得出|回答|评估|排除|除外|下结论|说明|分辨"
    "|诊断|提供)"
)
_CLAUSE: Final = r"[^,。;!?\n]*"
# Phrases with a negation in them that deny nothing.
IDIOM: Final = re.compile(
    rf"{_WORD}(?:(?:no|without(?:\sa|\sany)?)\s(?:doubt|question)(?:\s(?:about|that)\s(?:it|that))?"
    r"|no\s(?:wonder|problem|matter|longer\sthan|more\sthan|less\sthan|fewer\sthan|other)"
    r"|not\s(?:only|just|merely|to\smention|uncommon(?:ly)?|infrequent(?:ly)?)"
    r"|nos?\.?\s?\d+|number\s\d+)(?![a-z])"
    rf"|毫无疑问|毋庸置疑|无疑|无可否认|不可否认|不容置疑|不仅仅?是?|不但|不[只止光]是?|没问题|没关系|不错"
    rf"|无论|不论|不管|不妨"
)
CERTAIN: Final = re.compile(r"\W*(?:no|without(?:\sa|\sany)?)\s(?:doubt|question)|毫?无疑问?|没错")
SPOKEN: Final = re.compile(r"\w")
AGAIN: Final = re.compile(r"(?<![a-z])(yes|no)(?:[\s,.!]{1,3}\1(?![a-z-]))++")
QUOTED: Final = re.compile(r"[\"'“”‘’](yes|no)[\"'“”‘’]")
# "I see no fracture; yes, the picture is dark, but …" grants a point and answers nothing.
CONCEDES: Final = re.compile(r"(?<=\w[.;,])\s?yes,[^.;!?\n]{1,120}(?<![a-z])but(?![a-z])")
# What withholds an answer: questions echoed, both words offered at once, refusals, doubts.
REFUSAL: Final = re.compile(
    r"(?<![a-z])(?:do|does|did|is|are|was|were)n't\s(?:\w+\s)?(?:sure|certain|clear|possible|enough"
    rf"|know|sufficient){_CLAUSE}"
    rf"|{_WORD}(?:(?:can\s?not|can't|could\snot|couldn't|unable\sto|impossible\sto|not\spossible\sto"
    r"|(?:hard|difficult)\sto|not\sable\sto)\s(?:\w+\s){0,2}(?:be\s(?:\w+\s)?)?(?:determin|tell|say"
    r"|decid|assess|judge|answer|confirm|exclud|rule|evaluat|provide|help|assist|know|conclu|ascertain"
    r"|comment|interpret|diagnos|establish|view|dismiss|state|be\ssure|be\scertain)"
    r"|not\s(?:\w+\s)?(?:sure|certain|clear|necessarily|possible|known|enough|sufficient|able)"
    r"|not\sknow"
    r"|unsure|uncertain|unclear|insufficient|inconclusive|indeterminate|equivocal|it\sdepends"
    rf"|as\san\sai|no\s(?:idea|comment|answer|information|image|picture|photo|scan|data|one|opinion|clue"
    rf"|context|access|way\sto|response)(?![a-z])){_CLAUSE}"
    rf"|{_UNABLE}{HAN}{{0,6}}?{_JUDGE}{_CLAUSE}"
    rf"|不太?(?:确定|清楚|知道|明确|好说){_CLAUSE}|(?:没有|无|缺乏)足够{_CLAUSE}"
    rf"|未必|(?:没有|无)(?:图像?|影像|图片)|没看清|看不清|未看清|没有?办法|不清晰?|不一定|不见得|说不定|未知|不详|不明"
)
PAIR: Final = re.compile(
    rf"{_WORD}(?:not\s|neither\s)?(?:{_YES}{_PAIR}{_NO}|{_NO}{_PAIR}{_YES})|(?:是|有){_PAIR}(?:否|不是|没有|无)"
)
ASKED: Final = re.compile(rf"{_ASKED}[^,。;:!?\s]{{0,60}}\??|(?:\A|(?<=[.;!?。\n]))[^.;!?。\n]*\?")
SPLIT: Final = re.compile(
    r"[.;!?。,:\n]+|…+|\s[-–—]+\s|(?<![a-z])(?:but|however|although|though|because|since|(?<!think\s)(?<!believe\s)(?<!appears\s)(?<!seems\s)(?<!looks\s)so"
    r"|therefore|thus|hence|while|whereas|yet)(?![a-z])|因为|所以|因此|由于|但是?|而且"
)
_LEAD: Final = (
    "i'd|i'll|i'm|we'd|have|so|therefore|thus|hence|well|ok|okay|then|finally|overall|in|short|conclusion|summary|i|we"
    r"|think|believe|say|guess|would|will|my|the|final|correct(?=\sanswer)|answer|response|is|it|it's|that|that's"
    "|this|probably|likely|most|clearly|definitely|certainly|absolutely|undoubtedly|indeed|perhaps"
    "|possibly|maybe|be|should|must|statement|claim|and|to|your|question|for|case|quite|a|an|oh|hmm"
    "|actually|sorry|simply|assistant|d|ll|'d|'ll|still|now|also|all|things|considered|above|here"
    "|strong|clear|firm|very|much|almost|diagnosis|impression|verdict|result|here|go|with|going|lean|leaning|towards?|inclined"
)
# Possessive: a run of lead words is never tried again with another division.
LEAD: Final = re.compile(rf"\W*+(?:(?>(?:{_LEAD})(?![a-z']))\W*+)*+")
_REST: Final = (
    r"(?:$|\d|[^\w\s]|(?:there|it|this|that|these|those|they|he|she|the|i|we|both|all|sir|indeed|please|definitely"
    r"|certainly|absolutely|probably|likely|again|in|on|at|for|one|some|several"
    r"|a|an|multiple|with)(?![a-z]))"
)
AFFIRMS: Final = re.compile(rf"{_YES}(?=\s{{0,3}}{_REST})|{_YES}(?=\W*{HAN})")
DENIES: Final = re.compile(
    rf"{_NO}(?=\s{{0,3}}(?:there\s|it\s|this\s|that\s|they\s|i\s|we\s|the\s|sir|$|[^a-z\s]))"
)
# Words that answer only where their clause holds nothing else.
_TAIL: Final = (
    r"(?:\W*(?:i\s(?:think|believe|guess|would\ssay)|it\sis|here|seen|in\sthis\s(?:image|case|picture)"
    r"|at\sall|of\scourse|statement|answer|indeed|sir|\d{1,3}\s?%)(?![a-z]))*\W*"
)
ALONE_YES: Final = re.compile(
    r"(?:true|correct|(?:that|it|you|this)(?:'s|\sis|'re|\sare)\sright|present|positive|exactly|of\scourse|y|it\s(?:\w{1,20}ly\s)?(?:is|does|has|was)|(?:it\s)?(?:appears|seems|looks)\sso"
    r"|there\s(?:is|are)|they\s(?:are|do)|i\s(?:think|believe)\sso|agreed?|accurate|confirmed"
    rf"|yes){_TAIL}"
)
ALONE_NO: Final = re.compile(
    r"(?:false|incorrect|wrong|absent|negative|(?:there\s(?:is|are)\s)?none(?:\s(?:seen|visible|present|identified|detected"
    r"|noted|found|observed))?|never|not\sat\sall|not\sreally|not\strue|not\scorrect|not\sright|n"
    r"|(?:of\scourse|certainly|definitely|absolutely|probably|surely)\snot"
    r"|untrue|inaccurate|hardly|no\sway|not\s(?:present|seen|visible|there|identified|detected|evident|so)"
    r"|(?:it|that|this|there)'s\snot|(?:it|there|they|this|that)\s(?:is|are|does|do|was|has)(?:n't|\snot)(?:\s(?:true|correct"
    r"|right|so|the\scase))?|(?:i\s(?:think|believe)\snot)|(?:i\s(?:do\snot|don't)\s(?:think|believe)"
    rf"\sso)){_TAIL}"
)
ADVERB: Final = re.compile(
    r"\W*(?:definitely|certainly|absolutely|indeed|surely|sure|undoubtedly)\W*"
)
_SEEN: Final = (
    r"(?:seen|visible|visuali[sz]ed|present|identified|detected|observed|evident|noted|appreciated"
    r"|demonstrated|found|apparent|shown|there|depicted|recognized|recognised)"
)
# A negation that makes of its clause the statement that something is not there.
STATES_NO: Final = re.compile(
    rf"{_WORD}(?:no(?=\s(?!to\s)[a-z])|nothing(?=\s)|neither(?=\s(?!confirm|exclud|rule|yes|sure))|false\sthat|yes\sis\s(?:wrong|incorrect|not)|none\s(?:is|are|was|were|{_SEEN})|not\s(?:an?\s)?yes|not\s{_SEEN}|absent|absence\sof|lacks?"
    r"|negative\sfor|(?:is|are|was|were|do|does|did|has|have|would|should|could)(?:n't|\snot)"
    r"(?!\s(?:a\s(?:clear|definite|simple)|no(?![a-z])|absent|un|wrong|incorrect|false|cle)))"
    r"(?!\w)|(?<![a-z])not\s(?:say\s)?yes(?![a-z])|(?<![a-z])without(?![a-z])"
)
STATES_YES: Final = re.compile(
    rf"{_WORD}(?:there(?:\sis|\sare|'s)(?!\s(?:no|not|none|nothing|neither)(?![a-z]))|there\s(?:appears|seems)"
    rf"\sto\sbe|(?:is|are|was|were)\s(?:\w+ly\s)?(?!shown|depicted){_SEEN}|positive\sfor|can\sbe\s{_SEEN}"
    rf"|(?:shows?|demonstrates?|reveals?)\s(?:evidence|signs)\sof)(?![a-z])"
)
CONDITION: Final = re.compile(r"\s*(?:if|unless|whether|suppos\w*|如果|假如|若|是否)(?![a-z])")
ZH_ALONE_NO: Final = re.compile(
    r"\W*(?:我?倾向于|我?觉得|我认为|应该|答案|这|那|该|种|说法|判断|描述|其实|并|是)*(?:否定?|不是|不对|不会|不能|不可以|不存在|不正确|不属于|不包含|不包括|没有?|无|错误?|错了|有误|并非(?:如此)?"
    r"|并没有|并不是|并不|未见|阴性|假|不)(?:的|如此|这样|啊|呢|吧|呀)*\W*"
)
ZH_ALONE_YES: Final = re.compile(
    r"\W*(?:我?倾向于|我?觉得|我认为|应该|答案|这|那|该|种|说法|判断|描述|是(?=正确|对)|确实|的确|当然|肯定|其实|也)*(?:是|对|有|存在|包含|包括|属于|正确|可以|能|会|没错|当然|肯定|确实"
    r"|的确|可见|阳性|属实|真|是这样|准确)(?:的|啊|呢|吧|呀|是|有|存在)*\W*"
)
ANSWER_WORDS: Final = (
    (AFFIRMS.match, DENIES.match),
    (ALONE_YES.fullmatch, ALONE_NO.fullmatch),
    (ZH_ALONE_YES.fullmatch, ZH_ALONE_NO.fullmatch),
)
# Characters of a clause in which an answer word of its own is sought.
SHORT: Final = 200
# A negation is taken before the word it negates; two of them affirm.
ZH_DOUBLE: Final = re.compile(
    r"(?:并非|不是|并不是|不可能|不会|未尝|无不|不无|不能说|不得不)(?:没有?|无|不(?=存在|是|包))?(?<=没有|.没|.无|.不)(?!法)"
)
ZH_NO: Final = re.compile(
    rf"(?:不[太大]可能有?|没(?:见到?|看到|发现)|没有?(?!法|错|办法)|不认为[^,。;]*|不(?:是|对(?!称)|正确|存在|包含|包括|属于|可以|能|会|像|支持|符合|正常|显示)|未(?:见|发现|显示|出现|看到|提示|检出|观察到|及)"
    rf"|无(?![论法疑])|否(?!则)|并非|看不[到出见]|缺乏|缺如|错误|有误|排除了|阴性|并不|(?<!{HAN})不(?!{HAN}{{0,1}}[一同少久断])(?={HAN}))"
)
ZH_YES: Final = re.compile(
    rf"(?:(?<![所只没])有(?!关|时|可能(?!是))|(?<![不])存在|可见|可以看到|能看到|见到|提示有|包含|包括|属于|阳性|没错"
    rf"|(?<!{HAN})(?:是|对|正确|可以|能|会)的?(?!{HAN}))"
)
# A bare "maybe" leaves a statement open, "most probably" does not.
ZH_MAYBE: Final = re.compile(r"(?<![很极最大有不太])可能|也许|或许|兴许|说不准|疑似|怀疑")
NO_STATEMENT: Final = re.compile(r"不能排除|不除外|不排除|难以排除|有可能|有待")
SAYS_YES: Final = re.compile("yes|(?:是|有|存在|对|正确|能|可以|会|包含|包括|属于)的?")
SAYS_NO: Final = re.compile(
    "no|(?:否|无|没有?(?!法)|不(?:是|存在|对|正确|能|可以|会|包含|包括|属于)?)的?"
)
ANSWERS: Final = {True: "yes", False: "no"}


def read_yes_no(text: str) -> Reading:
    """Read yes or no from a folded span of a reply.

    `settled` says that nothing less explicit may be read instead: an answer, a contradiction or a
    refusal.
    """
    if withdraws(text):
        return Reading(None, "declined")
    unquoted = QUOTED.sub(r"\1", text)
    text = without_hypotheses(PAIR.sub(" ", IDIOM.sub(" ", AGAIN.sub(r"\1", unquoted))))
    # "No doubt." is an idiom and no more, and an answer for that reason.
    if text != unquoted and not SPOKEN.search(text) and CERTAIN.match(unquoted):
        return Reading("yes", "yes or no")
    clauses = [clause for clause in SPLIT.split(ASKED.sub("\n", text)) if clause.strip()]
    concedes = CONCEDES.search(text) is not None
    answers: list[bool] = []
    statements: list[bool] = []
    refused = hedged = False
    for clause in clauses:
        if CONDITION.match(clause):
            continue
        said, is_answer = _clause_says(clause)
        if REFUSAL.search(clause) or (ZH_MAYBE.search(clause) and not is_answer):
            refused = True
            # "No, I cannot tell" declines; "yes, though I am not sure" answers.
            hedged = hedged or answers == [False]
        elif said is not None and not (said and is_answer and False in statements and concedes):
            (answers if is_answer else statements).append(said)
    if refused and hedged and answers == [False] and not statements:
        return Reading(None, "declined")
    if not (answers or statements or refused) and any(map(ADVERB.fullmatch, clauses)):
        return Reading("yes", "yes or no")
    return _weigh(answers, statements, refused)


def _weigh(answers: list[bool], statements: list[bool], refused: bool) -> Reading:
    # Answer words go before statements, which may answer a question asked the other way round.
    for poles, rule in ((set(answers), "yes or no"), (set(statements), "statement")):
        if len(poles) == 2:
            return Reading(None, "yes and no contradict each other")
        # A statement next to a refusal says what is seen, not what the answer is.
        if poles and not (refused and rule == "statement"):
            return Reading(ANSWERS[poles.pop()], rule)
    if refused:
        return Reading(None, "declined")
    return Reading(None, "neither yes nor no", settled=False)


def _clause_says(clause: str) -> tuple[bool | None, bool]:
    """Return what a clause says, and whether by an answer word rather than a statement."""
    without_lead = LEAD.sub("", clause, count=1)
    for affirming, denying in ANSWER_WORDS:
        for part in (without_lead[:SHORT], clause.strip()[:SHORT]):
            if denying(part):
                return False, True
            if affirming(part):
                return True, True
    if NO_STATEMENT.search(clause):
        return None, False
    if STATES_NO.search(clause):
        return False, False
    if STATES_YES.search(clause):
        return True, False
    if not re.search(HAN, clause):
        return None, False
    affirmative = ZH_DOUBLE.sub("有", clause)
    denied = ZH_NO.search(affirmative) is not None
    affirmed = ZH_YES.search(ZH_NO.sub(" ", affirmative)) is not None
    return (None if denied == affirmed else affirmed), False


@lru_cache(maxsize=65_536)
def polarity(words: str) -> bool | None:
    """Return whether a gold answer or option is yes (True), no (False) or neither (None)."""
    folded = fold(words).strip(" \t\n.。!,;")
    if SAYS_YES.fullmatch(folded):
        return True
    return False if SAYS_NO.fullmatch(folded) else None
