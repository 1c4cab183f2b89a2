"""What the word lists call the same, different and contradictory."""

from __future__ import annotations

from importlib import resources

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from curation.meaning import LANGUAGES, alike, contrast, read_meaning, recognise
from curation.meaning.lists import word_lists

NOTE = (
    "The report of the chest study states that {} was seen by the reader on the second day, and"
    " that nothing else of note was written about the other parts."
)


def are_alike(one: str, other: str, language: str | None) -> bool:
    return alike(read_meaning(one, language), read_meaning(other, language))


def exclude(one: str, other: str, language: str | None) -> bool:
    a, b = read_meaning(one, language), read_meaning(other, language)
    assert contrast(a, b) == contrast(b, a)
    return contrast(a, b)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("5 mg", "5 mcg"),
        ("5 mm", "5 cm"),
        ("5 mm", "6 mm"),
        ("potassium ↑", "potassium ↓"),
        ("ER+ tumor", "ER- tumor"),
        ("≥ 5 cm", "≤ 5 cm"),
        ("−2.5", "2.5"),
        ("stage II", "stage IV"),
        ("stage IIIA", "stage IIIB"),
        ("grade II glioma", "grade III glioma"),
        ("type I", "type II"),
        ("Salter-Harris II", "Salter-Harris IV"),
        ("hyperkalemia", "hypokalemia"),
        ("indicated", "contraindicated"),
        ("febrile", "afebrile"),
        ("typical", "atypical"),
        ("remarkable", "unremarkable"),
        ("mild stenosis", "severe stenosis"),
        ("stable nodule", "growing nodule"),
        ("improved edema", "worsened edema"),
        ("resolved edema", "resolving edema"),
        ("resolved edema", "persistent edema"),
        ("small cyst", "large cyst"),
        ("arterial phase", "venous phase"),
        ("arterial phase", "delayed phase"),
        ("hepatic artery", "hepatic vein"),
        ("primary tumor", "secondary tumor"),
        ("male", "female"),
        ("pneumonia", "cancer"),
        ("rectum", "colon"),
        ("hepatitis B", "hepatitis C"),
        ("5-6", "56"),
        ("with contrast", "without contrast"),
        ("mass", "no mass"),
        ("abduction", "adduction"),
        ("intubated", "extubated"),
        ("ileum", "ilium"),
        ("dysphagia", "dysphasia"),
        ("T1", "T2"),
        ("L4", "L5"),
        ("supine", "prone"),
        ("a mass and an effusion", "a mass or an effusion"),
        ("daily", "weekly"),
        ("must be operated", "may be operated"),
        ("left mass, right cyst", "right mass, left cyst"),
        ("no mass, effusion", "mass, no effusion"),
        ("IV contrast", "oral contrast"),
        ("stent in the LAD", "stent in the RCA"),
        ("intra-articular", "extra-articular"),
    ],
)
def test_a_decisive_word_keeps_two_texts_apart(one: str, other: str) -> None:
    assert not are_alike(one, other, "en")
    assert not are_alike(NOTE.format(one), NOTE.format(other), "en")
    assert not are_alike(f"Is {one} seen?", f"Is {other} seen?", "en")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Is the liver larger than the spleen?", "Is the spleen larger than the liver?"),
        ("Does the mass compress the ureter?", "Does the ureter compress the mass?"),
        ("Does the tumor invade the duct?", "Does the duct invade the tumor?"),
        ("Is the cyst left of the mass?", "Is the mass left of the cyst?"),
        ("Where is the mass?", "What is the mass?"),
        ("Is there a mass?", "Where is the mass?"),
        ("How is flu treated?", "Why is flu treated?"),
        ("Is there?", "Are there any?"),
    ],
)
def test_questions_of_the_same_words_may_ask_different_things(one: str, other: str) -> None:
    assert not are_alike(one, other, "en")


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        # The voice of a verb, and its noun where a question asks for the thing.
        ("en", "Is the sinus draining?", "Is the sinus drained?"),
        ("en", "What is infected?", "What is the infection?"),
        ("en", "What is dilated?", "What is the dilation?"),
        ("en", "Is the wall hardly soft?", "Is the wall hard and soft?"),
        ("en", "Is there a fistula tract?", "Is there fistula traction?"),
        # The roles around a verb that no list knows.
        ("en", "Which duct is feeding the cyst?", "Which duct is the cyst feeding?"),
        ("en", "Is the nerve crossing the band?", "Is the band crossing the nerve?"),
        ("en", "Is the cyst pressing a root of the tooth?", "Is the tooth cyst pressing a root?"),
        ("de", "Drückt der Knoten den Gang?", "Drückt den Knoten der Gang?"),
        ("ru", "Сдавливает ли киста проток?", "Сдавливает ли проток киста?"),
        ("ja", "嚢胞が胆管を押していますか", "嚢胞を胆管が押していますか"),
        ("ja", "嚢胞が押していますか", "嚢胞を押していますか"),
        ("ko", "낭종이 담관을 누릅니까", "낭종을 담관이 누릅니까"),
        ("ko", "담관에도 돌이 있습니까", "담관에 돌이 있습니까"),
        # Function words that say something where they stand.
        ("en", "Is the stone in the duct?", "Is the stone on the duct?"),
        ("fr", "Le drain est-il sur le foie ?", "Le drain est-il dans le foie ?"),
        ("de", "Liegt der Stein auf der Niere?", "Liegt der Stein in der Niere?"),
        ("ru", "Камень на почке?", "Камень в почке?"),
        ("en", "Is the node a tumor?", "Does the node have a tumor?"),
        ("fr", "Le nodule est-il un kyste ?", "Le nodule a-t-il un kyste ?"),
        ("zh", "结节是钙化吗", "结节有钙化吗"),
        ("en", "Can the stone be removed?", "Is the stone removed?"),
        ("en", "Are some ribs broken?", "Are the ribs broken?"),
        ("en", "What is it?", "What view is it?"),
        ("en", "What is seen?", "What is it?"),
        ("en", "Which view shows the stone?", "What is the stone?"),
        ("en", "Is the node left of the aorta?", "Is the node in the left aorta?"),
        ("zh", "哪里增厚", "哪个增厚"),
        ("en", "Is this a woman?", "Is this a girl?"),
    ],
)
def test_roles_voice_and_place_are_part_of_a_question(language: str, one: str, other: str) -> None:
    assert not are_alike(one, other, language)
    assert not are_alike(other, one, language)


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("en", "Is there a lung mass?", "Is there a mass in the lung?"),
        ("en", "Is there a stone in the bladder?", "Is there a bladder stone?"),
        ("en", "The cyst is located where?", "Where is the cyst?"),
        ("en", "Was oral contrast given?", "Did the patient receive oral contrast?"),
        ("en", "Are the ureters normal?", "Are these normal ureters?"),
        ("en", "Is the trachea displaced?", "Is there displacement of the trachea?"),
        ("en", "What imaging plane is this?", "What plane is this image?"),
        ("en", "Is there a cyst on the left?", "Is there a cyst on the left side?"),
        ("en", "Does the patient have a hernia?", "Is there a hernia?"),
        ("en", "Could a hernia be seen?", "Is there a hernia?"),
        ("en", "a dark spot", "a spot, dark"),
        ("en", "cavities", "a cavity"),
        ("ja", "結節を認めますか", "結節がありますか"),
        ("en", "Is the skull fractured?", "Is there a skull fracture?"),
        ("en", "thickened walls", "thickening of the wall"),
        ("en", "grade II", "Grade 2"),
        ("en", "5 mm", "0.5 cm"),
        ("en", "5 µg", "5 mcg"),
        ("en", "oedema", "edema"),
        ("en", "tumour", "tumors"),
        ("en", "naïve", "naive"),
        ("en", "an X-ray", "a radiograph"),
        ("en", "Cardiomegaly", "the heart is enlarged"),
        ("de", "Liegt eine Fraktur vor", "liegt  eine Fraktur vor."),
        ("de", "2,5 cm", "25 mm"),
        ("fr", "l'artère", "artère"),
        ("ru", "отёк", "отек"),
        ("zh", "是否有结节", "有没有结节"),
        ("zh", "5毫米", "5 mm"),
        ("ko", "골절이 있습니까", "골절은 있나요"),
        ("ar", "٥ مم", "5 مم"),
    ],
)
def test_wording_without_a_meaning_of_its_own_does_not_count(
    language: str, one: str, other: str
) -> None:
    assert are_alike(one, other, language)
    assert are_alike(other, one, language)
    assert not exclude(one, other, language)


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("en", "left", "right"),
        ("en", "left", "both"),
        ("en", "5 mm", "5 cm"),
        ("en", "2 nodules", "three nodules"),
        ("en", "HER2+", "HER2-"),
        ("en", "HER2+", "HER2 -"),
        ("en", "WBC ↑", "WBC ↓"),
        ("en", "≥ 5 cm", "≤ 5 cm"),
        ("en", "♂", "♀"),
        ("en", "normal", "abnormal"),
        ("en", "febrile", "afebrile"),
        ("en", "hyperkalemia", "hypokalemia"),
        ("en", "grade II", "grade III"),
        ("en", "hepatitis B", "hepatitis C"),
        ("en", "T1", "T2"),
        ("en", "a fracture", "no fracture"),
        ("en", "yes", "no"),
        ("de", "keine Fraktur", "eine Fraktur"),
        ("fr", "pas d'épanchement", "un épanchement"),
        ("es", "izquierdo", "derecha"),
        ("ru", "перелома нет", "перелом"),
        ("zh", "无结节", "结节"),
        ("ja", "左肺", "右肺"),
        (None, "5 mm", "5 cm"),
        (None, "HER2+", "HER2-"),
    ],
)
def test_answers_that_cannot_both_be_right_contradict_each_other(
    language: str | None, one: str, other: str
) -> None:
    assert exclude(one, other, language)


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("en", "a mass", "a mass on the left"),
        ("en", "the liver", "liver and spleen"),
        ("en", "no", "maybe"),
        ("en", "pneumonia", "no fracture"),
        ("en", "5 mm", "a nodule of 0.5 cm"),
        ("en", "opacity", "consolidation"),
        (None, "ซ้าย", "ขวา"),
    ],
)
def test_more_detail_and_other_words_are_no_contradiction(
    language: str | None, one: str, other: str
) -> None:
    assert not exclude(one, other, language)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Is there a mass in the left lung?", "en"),
        ("Ist eine Fraktur zu sehen?", "de"),
        ("¿Dónde está la lesión?", "es"),
        ("Où se trouve la lésion ?", "fr"),
        ("Onde está a lesão?", "pt"),
        ("Есть ли перелом?", "ru"),
        ("左肺是否有结节？", "zh"),
        ("MRI 检查的是哪个器官？", "zh"),
        ("胸水はありますか？", "ja"),
        ("골절이 있습니까?", "ko"),
        ("هل يوجد كسر؟", "ar"),
        # Languages without lists are none, never English or another neighbour.
        ("Is er een massa in de linker long?", None),
        ("Finns det en massa i vänster lunga?", None),
        ("Er der en masse i venstre lunge?", None),
        ("Czy jest złamanie w lewym płucu?", None),
        ("Sol akciğerde bir kitle var mı?", None),
        ("C'è una massa nel polmone sinistro?", None),
        ("Có khối u ở phổi trái không?", None),
        ("Apakah ada massa di paru kiri?", None),
        ("Чи є перелом?", None),
        ("آیا شکستگی وجود دارد؟", None),
        ("คุณเห็นตับหรือไม่", None),
        ("क्या फ्रैक्चर है?", None),
        ("pneumothorax", None),
        ("5 mm", None),
    ],
)
def test_the_language_of_a_text_is_known_by_script_and_function_words(
    text: str, language: str | None
) -> None:
    assert recognise(text) == language


def test_a_tag_decides_where_words_do_not_say_otherwise() -> None:
    assert recognise("pneumothorax", "en-GB") == recognise("pneumothorax", "English") == "en"
    assert recognise("pneumothorax", None, "de") == "de"
    assert recognise("pneumothorax", "sv") is None
    assert recognise("Ist eine Fraktur zu sehen?", "en") == "de"
    assert recognise("左肺是否有结节？", "en") == "zh"
    assert recognise("左肺", None, "ja") == "ja"
    # One short word belongs to many languages, and overrules none.
    assert recognise("à gauche", None, "fr") == "fr"


def test_texts_of_a_language_without_lists_are_never_alike() -> None:
    one, other = read_meaning("ตับ", None), read_meaning("ตับ", None)
    assert not alike(one, other)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_word_stands_for_two_things(language: str) -> None:
    file = resources.files("curation.meaning") / "lists" / f"{language}.yaml"
    data = yaml.load(file.read_text("utf-8"), yaml.BaseLoader)
    seen: dict[str, str] = {}
    for section in [{"same": data.get("same", {})}, data["contrast"]]:
        for group, values in section.items():
            for value, words in values.items():
                for word in words.split():
                    assert seen.setdefault(word, f"{group}:{value}") == f"{group}:{value}", word
    assert not {word for word in data["drop"].split() if word in seen}


@pytest.mark.parametrize("language", LANGUAGES)
@given(data=st.data())
def test_values_of_one_group_are_never_alike_and_contradict_each_other(
    language: str, data: st.DataObject
) -> None:
    values: dict[str, dict[str, str]] = {}
    for word, concept in word_lists(language).concept.items():
        group, mark, value = concept.partition(":")
        if mark and word.isalpha():
            values.setdefault(group, {}).setdefault(value, word)
    group = data.draw(st.sampled_from(sorted(g for g, v in values.items() if len(v) > 1)))
    one, other = data.draw(
        st.lists(
            st.sampled_from(sorted(values[group].values())), min_size=2, max_size=2, unique=True
        )
    )
    assert not are_alike(one, other, language)
    assert exclude(one, other, language)
