"""Parting thoughts from answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.llm.thoughts import TAGS, opened_by, part

ALL_TAGS = [text for tags in TAGS for text in (tags.opening, tags.closing)]
PLAIN = st.text().filter(lambda text: not any(tag in text for tag in ALL_TAGS))
# Pieces of plain text must not make a tag, or a mark of harmony's, where they meet another.
PIECE = st.text(alphabet="ab \n.é", max_size=12)


@pytest.mark.parametrize("tags", TAGS, ids=lambda tags: tags.opening)
def test_thoughts_answers_and_what_is_unfinished(tags):
    opening, closing = tags.opening, tags.closing
    assert part(f"{opening}\na river\n{closing}\n\nParis") == ("a river", "Paris")
    assert part(f"\n{opening}a{closing}Paris\n") == ("a", "Paris\n")
    assert part(f"{opening}{closing}Paris") == ("", "Paris")
    assert part(f"{opening} a river and") == ("a river and", "")
    # The template opened it, so the reply does not.
    assert part(f"a river{closing} Paris") == ("a river", "Paris")
    assert part(f"a river{closing} Paris", opened=True) == ("a river", "Paris")
    assert part("a river and", opened=True) == ("a river and", "")
    assert part(f"{opening}a{closing}Par{opening}b{closing}is") == ("a\n\nb", "Paris")
    assert part(f"{opening}a{closing}Paris{opening}and") == ("a\n\nand", "Paris")
    # Ended by force, it thought on.
    assert part(f"{opening}a{closing}b{closing}Paris") == ("a\n\nb", "Paris")


def test_harmony_without_its_control_tokens():
    text = (
        "<|channel|>analysis<|message|>a river<|end|>"
        "<|start|>assistant<|channel|>final<|message|>Paris<|return|>"
    )
    assert part(text) == ("a river", "Paris")
    assert part("<|channel|>final<|message|>Paris<|return|>") == ("", "Paris")


@pytest.mark.parametrize("tags", TAGS, ids=lambda tags: tags.opening)
def test_what_ends_thoughts_ends_them(tags):
    assert part(f"{tags.opening}a river{tags.ending}Paris") == ("a river", "Paris")


@given(PLAIN)
def test_text_without_tags_is_unchanged(text):
    assert part(text) == ("", text)


@given(st.sampled_from(TAGS), st.lists(st.tuples(PIECE, PIECE), min_size=1, max_size=4), PIECE)
def test_no_text_of_the_answer_is_lost(tags, blocks, rest):
    text = "".join(f"{said}{tags.opening}{thought}{tags.closing}" for said, thought in blocks)
    thoughts, answer = part(text + rest)
    assert answer == "".join([*(said for said, _ in blocks), rest]).lstrip()
    assert thoughts == "\n\n".join(t.strip() for _, t in blocks if t.strip())
    assert part(answer) == ("", answer)


def test_a_prompt_that_opens_thoughts():
    assert opened_by("<|im_start|>assistant\n<think>\n") is TAGS[0]
    assert opened_by("<|im_start|>assistant\n<think>\n\n</think>\n\n") is None
    assert opened_by("What is <think> for?") is None
