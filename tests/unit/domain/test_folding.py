"""What is compared in any case is equal in every form that Unicode says is the same."""

import sys
import time
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.model import fold
from service.domain.search import grams

EVERY_CHARACTER = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
MARKED = st.text(
    st.sampled_from("aiİıIσςΣΆΐᾳᾴſßﬁĳ²Ａｶ\u0301\u0307\u0308\u0323\u0345 ")
    | st.characters(exclude_categories=["Cs"])
)


def forms(text: str) -> set[str]:
    """Return other ways to write a text."""
    cases = {text.upper(), text.lower(), text.title(), text.casefold()}
    return {normalize(form, each) for each in cases | {text} for form in ("NFC", "NFD", "NFKC", "NFKD")} | cases


@pytest.mark.parametrize(
    ("looked_for", "title"),
    [
        ("istanbul", "İstanbul"),
        ("istanbul", "ISTANBUL"),
        ("İSTANBUL", "istanbul"),
        ("ısparta", "Isparta"),
        ("DIYARBAKIR", "Diyarbakır"),
        ("αθήνα", "ΑΘΉΝΑ"),
        ("ΑΘΉΝΑ", "Αθη\u0301να"),
        ("ὀδυσσεύς", "ὈΔΥΣΣΕΎΣ"),
        ("ᾳ", "ΑΙ"),
        ("ΐ", "Ϊ́"),
        ("strasse", "STRAẞE"),
        ("fine", "ﬁne"),
        ("tokyo 1", "ＴＯＫＹＯ　１"),
        ("カメラ", "ｶﾒﾗ"),
        ("café", "CAFE\u0301"),
        ("ị", "I\u0323\u0307"),
    ],
)
def test_a_word_is_found_however_it_is_written(looked_for: str, title: str) -> None:
    assert fold(looked_for) in fold(f"At {title}, 2024")


@pytest.mark.parametrize(("looked_for", "title"), [("cafe", "Café"), ("e", "é"), ("i", "í"), ("α", "ά")])
def test_accents_tell_words_apart(looked_for: str, title: str) -> None:
    assert fold(looked_for) not in fold(title)


def test_every_character_is_folded_once_and_for_all_and_as_its_other_forms_are() -> None:
    different = [each for each in EVERY_CHARACTER if fold(fold(each)) != fold(each)]
    different += [each for each in EVERY_CHARACTER if each != "İ" and {*map(fold, forms(each))} != {fold(each)}]
    assert different == []
    assert {fold(each) for each in ("İ", "I", "i", "ı", "i\u0307")} == {"i"}


@given(MARKED)
def test_every_text_is_folded_once_and_for_all_and_as_its_other_forms_are(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert {fold(normalize(form, text)) for form in ("NFC", "NFD")} == {fold(text)}
    assert {fold(each) for each in forms(normalize("NFD", text))} == {fold(text)}


@given(MARKED, st.integers(0, 9), st.integers(3, 9))
def test_a_folded_part_has_no_piece_that_the_whole_lacks(text: str, start: int, length: int) -> None:
    part = fold(text)[start:][:length]
    assert set(grams(part)) <= set(grams(fold(text)))


@pytest.mark.parametrize("hostile", ["i\u0307", "i\u0323\u0307", "\u0307", "ﷺ", "a\u0301", "İ"])
def test_folding_takes_no_longer_for_each_character_of_a_longer_text(hostile: str) -> None:
    def cost(length: int) -> float:
        text = (hostile * length)[:length]
        times = []
        for _ in range(5):
            began = time.process_time()
            fold(text)
            times.append(time.process_time() - began)
        return min(times)

    assert cost(80_000) < 40 * max(cost(4_000), 0.0005)
