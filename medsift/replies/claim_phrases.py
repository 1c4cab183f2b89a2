"""List phrases by which a clause asserts, denies, doubts or merely names an option (`claims`).

Every option is one character here (`mentions`).
"""

from __future__ import annotations

import re
from typing import Final

from medsift.replies.mentions import LED, MARK

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
# "First, pneumonia:" at the end announces what never came.
ANNOUNCES: Final = re.compile(rf"{MARK}[^.;!?。\n\ue000-\ue01f]{{0,40}}:\s*\Z")
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
    r"|noted|due|involving|affecting|measuring|to|by|from|over|near|likely|best|more|most|rather|the|t[12]|flair|mri|ct|view|plane|section|slice"
    r"|chest|study|image|scan|film|radiograph|x-?ray|lesion|mass|nodule|tumou?r|finding|option"
    r"|instead|an?|fits?|explains?|it|as|i|we|better|clearly|there|this|side|\w+\W*$)(?![a-z]))[a-z]"
)
MAY_BE: Final = re.compile(r"(?<![a-z])(?:could|might|may|maybe|possibly|perhaps)(?![a-z])")
LANDMARK: Final = re.compile(
    r"(?<![a-z])(?:(?:lateral|medial|anterior|posterior|superior|inferior|adjacent|next|close|proximal"
    r"|distal|cranial|caudal|ventral|dorsal|external)\sto|under|below|beneath|above|behind|beside|near"
    r"|surrounding|around|alongside)\s(?:the\s|an?\s)?$"
)
# "In the left lung" says where, whatever noun follows.
WITHIN: Final = re.compile(r"(?<![a-z])(?:in|on|within|at|over)\s(?:the\s)?$")
# "Pneumonia is an infection" explains a word and reports no finding.
DEFINES: Final = re.compile(
    r"\s(?:is|are|was|were|has|have|had|refers|means|denotes|describes|involves|causes|includes?)(?![a-z])"
    r"(?!\s(?:\w+ly\s)?(?:in|on|at|within|there|located|the\s(?:most\s(?:likely|probable|plausible|suitable|fitting|appropriate)|best|only|likel|one|correct|right))(?![a-z]))"
    r"|[是也]?(?:好发|常见|多见|多发|一种|是指|指的是|通常|一般|往往)"
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
    r"\s{0,3}(?:,?\s?(?:and/or|and|or|nor|as\swell\sas|plus|vs|versus)(?![a-z])|[,/&+、或和与及]|以及|或者)"
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
    r"|demonstrated|shown|best|selected|chosen|compatible|involved|affected|explains?|what\s(?:i|we)|marked|indicated|highlighted|labell?ed|arrowed)(?![a-z-])"
    r"|(?:is|does)(?=\W*$)|正确|对(?!比|称)|符合|成立|合适|最(?:有)?可能|可能性?(?:最|较)?大|[✅✔✓☑])"
)
_LEADS: Final = (
    "so|therefore|thus|hence|then|well|ok|okay|sure|finally|in|conclusion|summary|short|overall|and"
    "|clearly|definitely|certainly|probably|likely|most|possibly|perhaps|maybe|i|we|would|will|final"
    "|should|i'd|i'll|i'm|think|believe|say|guess|choose|chose|choosing|pick|select|selected|go|going"
    "|for|my|the|correct|best|right|answer|option|choice|letter|is|it|it's|that|that's|this|must|be"
    "|an?|with|to|have|impression|diagnosis|result|response|verdict|decision|here|only|leaves"
    r"|leaving|by|elimination|process\sof|all|things|considered|opt|vote|am|confident|appropriate|one"
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
# not "the heart size is", which is about something else.
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
    r"|suspicious\sfor|speaks?\sfor|argues?\sfor|thinking|answer|makes?|making|support(?:s|ing)?|conclude|confirms?|confirming|called)"
    r"(?![a-z])|选择?|诊断为?|考虑|提示|符合|显示|可见|应为|应该?是|(?:^|[这图片案果就也症像它能该实定然,])[是为]|支持"
    rf"|表现为|属于)\W*(?:for\s|that\s)?(?:{_FILLER}(?![a-z])\W*){{0,8}}$"
)
FRAME_BEHIND: Final = re.compile(
    r"\W*$|\s(?:chest\s|brain\s)?(?:radiograph|x-?ray|image|scan|study|film|ct|mri|examination)\W*$|\s{1,3}(?:in(?!\s(?:size|shape|position|appearance|contour|calib))|on|at|of|over|here|there"
    r"|and(?!\s[\ue000-\ue01f])|best|well|most|from|secondary|within|located|affecting|involving|today"
    r"|is\s(?:seen|present|visible|shown))(?![a-z])"
    r"|\W{0,3}(?:的可能|可能|的?表现|的?征象|的?(?:胸片|[Xx]线片?|影像|图像|图片|照片|片子)|的?改变|的?诊断|更|最|比较|吧|了|项|选项|作为)"
)
EXPLAINS: Final = re.compile(
    r"\W*(?:explanation|reason(?:s|ing)?|rationale|justification|discussion|analysis|why|解析|理由|解释|分析)"
)
GROUP: Final = re.compile(f"{MARK}(?:{JOIN}{MARK})*")
NUMBER: Final = re.compile(r"\W*\d+\W*")
PARAGRAPH: Final = "\n\n"
