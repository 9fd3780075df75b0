"""The side-by-side benchmark runs FlashRAG's pipelines as they are, over stand-ins."""

from __future__ import annotations

import pytest

from harness.testing import RuleModel, ScriptedModel, WordRetriever, small_task
from methods.ircot.method import IRCoT
from tests.benchmarks import flashrag as bench

pytest.importorskip("flashrag")
pytestmark = pytest.mark.slow

DATA = small_task()


def parts_and_prompts(model):
    llm = bench.Counted(model)
    retriever = bench.TheirRetriever(WordRetriever(DATA.corpus))
    prompts = bench.TheirPrompts(DATA, 2, llm, IRCoT.Params())
    return {"generator": bench.TheirGenerator(llm), "retriever": retriever}, prompts


@pytest.mark.parametrize(("name", "calls"), [("ircot", 4), ("corag-prompted", 9)])
def test_flashrags_pipelines_answer_with_our_parts(name, calls):
    parts, prompts = parts_and_prompts(RuleModel(lambda request: f"about {request.max_tokens}"))
    answers = bench.their_run(name, prompts, parts, DATA.questions[:3])
    assert len(answers) == 3 and all("about 64" in answer for answer in answers)
    assert parts["generator"].llm.calls == 3 * calls


def test_their_first_ircot_prompt_is_ours():
    parts, prompts = parts_and_prompts(ScriptedModel(["So the answer is: Ann"]))
    bench.their_run("ircot", prompts, parts, DATA.questions[:1])
    theirs = parts["generator"].llm.llm.requests[0].prompt
    parts, _ = parts_and_prompts(ScriptedModel(["So the answer is: Ann"]))
    method = IRCoT(IRCoT.Params(k=bench.K, shots=2, reader="none", retriever="words"))
    bench.our_run(method, DATA, parts, DATA.questions[:1])
    assert parts["generator"].llm.llm.requests[0].prompt == theirs


def test_a_side_that_stops_has_no_speed(capsys):
    llm = bench.Counted(RuleModel())
    assert bench.measured("FlashRAG", lambda asked: [][1], DATA.questions, llm) is None
    assert "FlashRAG: stopped with IndexError" in capsys.readouterr().out
