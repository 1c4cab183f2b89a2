"""Tell English from other European languages by the small words that every sentence needs."""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = re.compile(r"[^\W\d_]+")

# Words that no other language of the lists has.
_ENGLISH: Final = (
    "the are of with and this that these those which what where when why how who there any does "
    "did has have had been being be for by from it its not yes to into than then their or at if "
    "can could should would will may you your between seen shown show"
)
# Without words that English has as well (die, in, was, on, me, no, per, met), Latin of medicine
# (os, et, non, del, von) and abbreviations in lower case (ng, er, av, im, um, wo).
_FOREIGN: Final = (
    # German
    "der das dem ein eine einen einem einer eines und oder ist sind nicht kein keine keinen mit "
    "auf bei zu zum zur auch wird wurde werden gibt welche welcher welches wie ja nein links "
    "rechts dieser diese dieses "
    # Spanish
    "el la los las un una unos unas es esta estos estas con por para que cual cuales donde como "
    "muestra imagen "
    # French
    "le les une des du ou est dans avec sans sur pour qui quel quelle quels quelles cette ce ces "
    "il elle oui au aux montre "
    # Portuguese
    "uma imagem mostra nas da das em com sem qual quais onde ao pela pelo existe "
    # Italian
    "lo gli uno ed sono nel nella nei di della dei delle senza che quale quali dove questa questo "
    "alla "
    # Dutch, Danish, Norwegian, Swedish
    "een niet geen voor welke waar hoe nee deze dit med ikke ingen hvilken hvor det och inte utan "
    "vilken finns "
    # Polish, Czech, Croatian, Romanian, Hungarian, Finnish, Turkish without accents
    "jest nie czy oraz jaki jaka gdzie je neni jaky kde nema este sunt unde egy hogy nem ei bir "
    "yok hangi nerede "
    # Indonesian and Malay, Tagalog
    "yang dan atau tidak apakah pada dengan ini itu ang mga hindi"
)
ENGLISH: Final = frozenset(_ENGLISH.split())
FOREIGN: Final = frozenset(_FOREIGN.split())


def looks_foreign(text: str) -> bool:
    """Return whether a text in Latin letters has more function words foreign than English.

    A text without any, such as a name or a diagnosis of one word, does not; abbreviations in
    capitals are no words. Spanish marks of a question or a call decide at once.
    """
    if "\u00bf" in text or "\u00a1" in text:
        return True
    shouted = text.isupper()
    words = [
        word for word in _WORD.findall(text) if shouted or len(word) == 1 or not word.isupper()
    ]
    foreign = sum(word.casefold() in FOREIGN for word in words)
    return foreign > 0 and foreign > sum(word.casefold() in ENGLISH for word in words)
