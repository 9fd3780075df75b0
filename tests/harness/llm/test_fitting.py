"""Prompts that do not fit: how much of their passages stays, and how often tokens are counted."""

from __future__ import annotations

import random

import pytest

from harness.errors import PromptTooLongError
from harness.llm.base import LanguageModel
from harness.llm.fitting import Fitted
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import as_text
from harness.prompts import Prompt, QAPrompts, passage_line
from harness.records import Passage, Prediction, Query
from harness.testing.models import RuleModel
from tests.harness.programs import Steps, predictions

QUERY = Query("q", "Who built it?")


class Counting(RuleModel):
    """Counts how often it is asked for tokens."""

    asked = 0

    def count_tokens(self, prompt):
        self.asked += 1
        return super().count_tokens(prompt)


def linear(model: LanguageModel, prompt: Prompt, max_tokens: int) -> Fitted | None:
    """What leaving out one passage after the other gives; None if only a cut could help."""
    for dropped in range(len(prompt.passages) + 1):
        shorter = prompt.with_passages(prompt.passages[: len(prompt.passages) - dropped])
        rendered = shorter.render(model.prompt_style)
        if model.count_tokens(rendered) + max_tokens <= model.window:
            return Fitted(rendered, dropped) if shorter.passages or not prompt.passages else None
    return None


def passages(source: random.Random, count: int) -> tuple[Passage, ...]:
    return tuple(
        Passage(f"d{n}", f"Title {n}", f"w{n} " * source.randint(1, 30)) for n in range(count)
    )


@pytest.mark.parametrize("style", ["completion", "chat"])
@pytest.mark.parametrize("keep_order", [True, False])
def test_bisection_keeps_what_a_linear_search_keeps(style, keep_order):
    source = random.Random(1)
    compared = 0
    for _ in range(100):
        given = passages(source, source.randint(0, 12))
        prompt = Prompt("Who?", "Reply shortly.", passages=given, keep_order=keep_order)
        model = RuleModel(style=style, window=source.randint(20, 300))
        wanted = linear(model, prompt, 4)
        if wanted is not None:
            assert model.fit(prompt, 4) == wanted
            compared += wanted.dropped > 0
    assert compared > 20


@pytest.mark.parametrize("style", ["completion", "chat"])
def test_a_real_tokenizer_counts_alike(tiny_model_dir, style):
    config = ModelConfig(name="tiny", path=str(tiny_model_dir), prompt_style=style)
    llm, source, dropped = LocalModel(config, str(tiny_model_dir)), random.Random(4), set()
    for window in range(150, 900, 25):
        llm.window = window
        prompt = QAPrompts().read(QUERY, passages(source, 9))
        wanted = linear(llm, prompt, 4)
        if wanted is not None:
            assert llm.fit(prompt, 4) == wanted
            dropped.add(wanted.dropped)
    assert len(dropped) > 4


def test_a_wider_window_never_shows_less():
    prompt = QAPrompts().read(QUERY, passages(random.Random(2), 9))
    shown = [len(as_text(RuleModel(window=w).fit(prompt, 4).rendered)) for w in range(40, 400)]
    assert shown == sorted(shown)
    assert len(set(shown)) > 9


def test_two_thousand_passages_take_a_dozen_counts():
    prompt = QAPrompts().read(QUERY, passages(random.Random(3), 2000))
    model = Counting(window=500)
    fitted = model.fit(prompt, 4)
    assert 0 < 2000 - fitted.dropped < 40
    assert model.asked <= 13
    roomy = Counting(window=10**6)
    assert roomy.fit(prompt, 4).dropped == 0
    assert roomy.asked == 1


@pytest.mark.parametrize("style", ["completion", "chat"])
def test_a_document_longer_than_the_window_is_read_up_to_a_sentence(style):
    text = " ".join(f"Sentence {n} names Dr. Ann Quint." for n in range(10_000))
    long, short = Passage("d0", "Long", text), Passage("d1", "Short", "Five words are in here.")
    model = Counting(window=100, style=style)
    fitted = model.fit(QAPrompts().read(QUERY, [long, short]), 4)
    prompt = as_text(fitted.rendered)
    assert (fitted.dropped, fitted.cut) == (1, 1)
    assert "Passage: Long: Sentence 0 names Dr. Ann Quint. Sentence 1 names" in prompt
    assert "Who built it?" in prompt and "Five words" not in prompt
    kept = prompt[prompt.index("Sentence 0") :].split("\nQuestion")[0].splitlines()[0]
    assert kept.endswith("Quint.")
    # One more sentence of six words would not fit.
    assert 100 - 4 - 6 < len(prompt.split()) <= 100 - 4
    assert model.asked <= 20


def test_whole_passages_are_never_cut_while_the_best_one_fits():
    best, next_ = Passage("a", "", "One two. Three four."), Passage("b", "", "word " * 50 + ".")
    model = RuleModel(window=40)
    fitted = model.fit(Prompt("Why?", passages=(best, next_)), 4)
    assert (fitted.dropped, fitted.cut) == (1, 0)
    assert passage_line(best) in fitted.rendered


def test_a_sentence_that_is_too_long_is_cut_at_a_word():
    fitted = RuleModel(window=12).fit(Prompt("Why?", passages=(Passage("a", "", "w " * 99),)), 4)
    assert fitted == Fitted("Passage: w w w w w\nWhy?\nAnswer:", 0, 1)


def test_a_text_without_spaces_is_cut_anywhere():
    class Letters(RuleModel):
        def count_tokens(self, prompt):
            return len(as_text(prompt))

    text = "\u4e1c" * 900
    prompt = Prompt("Why?", passages=(Passage("a", "", text),))
    fitted = Letters(window=100).fit(prompt, 0)
    assert fitted.cut == 1
    assert len(fitted.rendered) == 100
    best = Passage("a", "", "\u4e1c\u4eac\u3002" * 99)
    ends = Letters(window=100).fit(Prompt("Why?", passages=(best,)), 0).rendered
    assert "\u3002\nWhy?" in ends and len(ends) > 96


def test_nothing_is_cut_where_not_even_the_question_fits():
    prompt = QAPrompts().read(Query("q", "word " * 50), [Passage("a", "", "One. Two.")])
    with pytest.raises(PromptTooLongError, match="has room for beside 4 new ones"):
        RuleModel(window=40).fit(prompt, 4)


def test_no_room_for_a_word_drops_the_passage():
    prompt = Prompt("Why?", passages=(Passage("a", "A long title of it", "One."),))
    assert RuleModel(window=6).fit(prompt, 4) == Fitted("Why?\nAnswer:", 1)


def test_what_was_cut_is_counted():
    long = Passage("a", "A", "One two three. " * 40)

    async def body(method, query):
        prompt = method.prompts.read(query, [long])
        await method.llm.generate(prompt, max_tokens=4)
        await method.llm.score(prompt, ["yes"])
        await method.llm.next_token_probs(query.text, ["yes"])
        return Prediction("x")

    (found,) = predictions(Steps(body), [QUERY], RuleModel(window=60)).values()
    assert found.usage.passages_cut == 2
    assert found.usage.passages_dropped == 0
    assert [step.data.get("passages_cut") for step in found.steps] == [1, 1, None]
    (roomy,) = predictions(Steps(body), [QUERY], RuleModel()).values()
    assert roomy.usage.passages_cut == 0


def test_room_that_thoughts_take_is_said():
    model = RuleModel(window=40)
    model.thinking_tokens = 50
    with pytest.raises(PromptTooLongError, match=r"the 0 that .* 54 new ones \(50 of them for tho"):
        model.fit(Prompt("Who built it?"), 54)
    with pytest.raises(PromptTooLongError, match=r"passage; lower thinking_tokens, shorten"):
        model.fit(Prompt("Who built it?"), 54)
    with pytest.raises(PromptTooLongError, match=r"beside 39 new ones without any passage; sh"):
        model.fit(Prompt("Who built it?"), 39)
