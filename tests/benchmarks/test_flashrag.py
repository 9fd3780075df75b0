"""The side-by-side benchmark runs FlashRAG's pipelines as they are, over stand-ins."""

from __future__ import annotations

import pytest

from harness.testing.models import RuleModel, ScriptedModel, WordRetriever, small_task
from methods.ircot.method import IRCoT
from tests.benchmarks import flashrag as bench

pytest.importorskip("flashrag")
pytestmark = pytest.mark.slow

DATA = small_task()


def parts_and_prompts(model):
    llm = bench.Counted(model)
    retriever = bench.TheirRetriever(WordRetriever(DATA.corpus))
    prompts = bench.TheirPrompts(DATA, 2, llm, IRCoT.Params())
    return {"generator": bench.OurGenerator(llm), "retriever": retriever}, prompts


@pytest.mark.parametrize(("name", "calls"), [("ircot", 3), ("corag", 7)])
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


def test_ratios_are_ours_over_theirs_with_the_work_of_both_beside():
    ours, theirs = bench.Speed(2.0, 120.0, "3.0 calls"), bench.Speed(1.0, 80.0, "4.0 calls")
    questions, tokens = bench.figures("ircot", [(ours, theirs), (ours, ours)])
    assert questions.ratios == (2.0, 1.0) and questions.value == questions.target == 1.5
    assert "ours 3.0 calls" in questions.detail
    assert tokens.ratios == (1.5, 1.0)


def test_sequential_asks_what_our_reader_asks():
    asked = []
    for run in ("ours", "theirs"):
        parts, _ = parts_and_prompts(model := ScriptedModel(["Ann"]))
        method = bench.our_method("sequential")
        prompts = bench.TheirPrompts(DATA, method.params.shots, parts["generator"].llm, None)
        if run == "ours":
            bench.our_run(method, DATA, parts, DATA.questions[:1])
        else:
            bench.their_run("sequential", prompts, parts, DATA.questions[:1])
        asked.append([(each.prompt, each.stop, each.max_tokens) for each in model.requests])
    assert asked[0] == asked[1]


def test_our_methods_take_as_many_calls_as_theirs():
    model = RuleModel(lambda request: f"About {len(request.prompt)} is known")
    for name, calls in [("ircot", bench.STEPS), ("corag", 2 * bench.STEPS + 1)]:
        parts, prompts = parts_and_prompts(model)
        llm = parts["generator"].llm
        bench.our_run(bench.our_method(name), DATA, parts, DATA.questions[:2])
        assert llm.calls == 2 * calls
        llm.reset()
        bench.their_run(name, prompts, parts, DATA.questions[:2])
        assert llm.calls == 2 * calls
