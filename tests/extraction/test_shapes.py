"""Answers in other words than those of the question, and similar texts that are not answers."""

from __future__ import annotations

import pytest

from grace_client.extraction.reading import UNPARSED
from tests.extraction.test_rules import read


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("All of the parcels are intact.", "0"),
        ("None of the parcels are undamaged.", "3"),
        ("Two are intact and one has dents.", "1"),
        ("One has dents, the other two don't.", "1"),
        ("Two have dents, the other one does not.", "2"),
        ("One. The other two are fine.", "1"),
        ("Two are intact.", UNPARSED),
        ("All are fine.", UNPARSED),
        ("Not all of the parcels are intact.", UNPARSED),
        ("Two. The other two are fine.", UNPARSED),
        ("Two have dents and one still does.", UNPARSED),
        ("One has dents and one is fine.", UNPARSED),
    ],
)
def test_what_is_said_of_the_other_items(text: str, number: str) -> None:
    """A statement about undamaged items gives a number only if it says something about all others."""
    assert read("number", text).structured == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The three parcels have dents in the lid.", "3"),
        ("Nadia's 3 parcels have dents in the lid.", "3"),
        ("Nobody's 3 parcels have dents in the lid.", UNPARSED),
        ("Two parcels appear to have dents.", "2"),
        ("The number of the 3 parcels that have dents in the lid is 1.", "1"),
        ("All were checked and one has dents.", "1"),
        ("2, not 3.", "2"),
        ("3, not all.", UNPARSED),
        ("More than 1: 2.", "2"),
        ("More than 2: 2.", UNPARSED),
        ("Before: 3. Now: 2.", "2"),
        ("Prior: 3, posterior: 2", "2"),
        ("Before: 3. Now: 2 or 3.", UNPARSED),
        ("One has dents. The last one probably too. So, 1 + 1 = 2.", "2"),
        ("So in total 3 parcels.", UNPARSED),
        ("2. However, it seems that 3.", UNPARSED),
        ("There are dents in the lid of 2 of the parcels.", "2"),
        ("One has dents in the lid, the other probably has dents too, so 2.", "2"),
        ("Two have dents, the third doesn't too, so 2.", UNPARSED),
        ("alle drei", "3"),
        ("dos", "2"),
        ("两个", "2"),
        ("zwei oder drei", UNPARSED),
    ],
)
def test_numbers_in_other_words(text: str, number: str) -> None:
    """A conclusion, a correction and a foreign word are read. A text that allows two numbers is not."""
    assert read("number", text).structured == number


@pytest.mark.parametrize(
    ("text", "knows"),
    [
        ("It's not a guess, she knows exactly how many.", "yes"),
        ("It's not a guess.", UNPARSED),
        ("Of course she knows exactly how many, why not?", "yes"),
        ("Of course she doesn't know, why not?", "no"),
        ("Why not?", UNPARSED),
        ("Yes, but she doesn't know exactly how many.", "no"),
        ("Yes, she doesn't know exactly how many.", UNPARSED),
        ("No, but she knows exactly how many.", UNPARSED),
        ("If she knew exactly how many, she would say so.", "no"),
        ("If she knew exactly how many, she would say so, and she did.", UNPARSED),
        ("She would only know exactly how many after opening the last one.", "no"),
        ("She would only know exactly how many if she had looked and she has.", UNPARSED),
        ("No. She knows about those two.", "no"),
        ("Yes. She knows about those two.", UNPARSED),
        ("She only knows that one of the parcels has dents.", "no"),
        ("She only knows that all of them have dents.", UNPARSED),
        ("She doesn't know exactly how many, but she knows that one of them has dents.", "no"),
        ("She doesn't know exactly how many, but she knows that 3 of the 3 parcels have dents.", UNPARSED),
        ("She knows exactly how many of the 2 she checked, but not of all 3.", "no"),
        ("She knows exactly how many, but not for the reason you think.", UNPARSED),
        ("It remains unknown to her exactly how many.", "no"),
        ("It seems that Nadia is not sure about the number of parcels with dents.", "no"),
        ("Nadia is unsure about the size of the parcels.", UNPARSED),
        ("Nadia does not have enough information to answer the question.", "no"),
        ("Nadia lacks the information to say yes.", UNPARSED),
        ("It is not the case that Nadia doesn't know.", "yes"),
        ("I can't imagine that she knows.", UNPARSED),
        ("Nadia knows exactly how many: 2.", "yes"),
        ("How could she know exactly?", "no"),
        ("How could she know? She looked at all three.", UNPARSED),
        ("Why would she know?", UNPARSED),
        ("No, the others may or may not have dents.", "no"),
        ("No, she may or may not know.", UNPARSED),
        ("No, that is not right, she knows.", UNPARSED),
        ("Not yes.", "no"),
        ("No one but Nadia is unsure.", UNPARSED),
        ("Ja", "yes"),
        ("Ja, aber nein.", UNPARSED),
    ],
)
def test_knowing_in_other_words(text: str, knows: str) -> None:
    """A whole sentence about exact knowledge is read. A contradiction is not."""
    assert read("knowledge", text).structured == knows


@pytest.mark.parametrize(
    ("text", "utterance"),
    [
        ("It ain't terrible.", "wasnt_terrible"),
        ("It was good (not: It was amazing).", "was_good"),
        ("It was good, not amazing.", UNPARSED),
        ("It was good overall, though it wasn't amazing.", "was_good"),
        ("It was good, though it wasn't good.", UNPARSED),
        ("It wasn't good, though it wasn't terrible.", UNPARSED),
        ("Vera would say: It was good, because saying 'It was bad' would hurt.", "was_good"),
        ("Saying 'It was bad' would hurt.", UNPARSED),
        ("Vera would say it was good to make Walter feel good.", "was_good"),
        ("It was good to make Walter feel good.", UNPARSED),
        ("It was terrible. I liked it.", UNPARSED),
    ],
)
def test_utterances_beside_a_mention(text: str, utterance: str) -> None:
    """An utterance is read if another one is only mentioned, but not if both may be the answer."""
    assert read("utterance", text).structured == utterance
