"""Every method's own form of prompts is fitted as the house's: nothing is left out unseen."""

from __future__ import annotations

import pytest

from harness.llm.requests import as_text
from harness.prompts import Demonstration, Prompt, QAPrompts
from harness.records import Passage, Query
from harness.testing.models import RuleModel
from methods.corag.few_shot import FewShotPrompts
from methods.corag.prompts import TemplatePrompts
from methods.flashrag_prompt import flashrag_prompt
from methods.ircot.prompts import thought_prompt
from methods.self_rag.prompts import SelfRAGPrompt

QUERY = Query("q", "Who built it?")
SHOTS = (Demonstration("Question: Is it old?", "yes"),)
FORMS = {
    "reader": lambda given: QAPrompts(SHOTS).read(QUERY, given),
    "flashrag": lambda given: flashrag_prompt(QUERY, given),
    "ircot": lambda given: thought_prompt(QUERY, SHOTS, given, ["It is old."]),
    "self-rag": lambda given: SelfRAGPrompt(QUERY.text, passages=tuple(given)),
    "corag sub-answer": lambda given: TemplatePrompts("any").sub_answer("Who?", given),
    "corag final": lambda given: TemplatePrompts("any").final_answer(QUERY, (), given),
    "corag-prompted": lambda given: FewShotPrompts(QAPrompts(), "any").sub_answer("Who?", given),
}


@pytest.fixture(params=FORMS)
def form(request):
    return FORMS[request.param]


def sized(prompt: Prompt, style: str) -> int:
    return RuleModel().count_tokens(prompt.render(style))


@pytest.mark.parametrize("style", ["completion", "chat"])
def test_whole_passages_stay_from_the_best_on(form, style):
    given = [Passage(f"d{n}", f"T{n}", f"passage{n} " + "word " * 9) for n in range(6)]
    room = sized(form(given[:3]), style)
    fitted = RuleModel(style=style, window=room + 4).fit(form(given), 4)
    assert fitted.rendered == form(given[:3]).render(style)
    assert (fitted.dropped, fitted.cut) == (3, 0)


@pytest.mark.parametrize("style", ["completion", "chat"])
def test_a_best_passage_that_is_too_long_is_read_up_to_a_sentence(form, style):
    sentence = "One of its many sentences. "
    given = [Passage("d0", "T", sentence * 60), Passage("d1", "T", "Short.")]
    three = Passage("d0", "T", (sentence * 3).strip())
    room = sized(form([three]), style) + 2  # too little for a fourth sentence
    fitted = RuleModel(style=style, window=room + 4).fit(form(given), 4)
    assert fitted.rendered == form([three]).render(style)
    assert (fitted.dropped, fitted.cut) == (1, 1)
    assert as_text(fitted.rendered).count("many sentences.") == 3
