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
    return {"generator": bench.TheirGenerator(llm), "retriever": retriever}, prompts


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


def test_a_side_that_stops_has_no_speed(capsys):
    llm = bench.Counted(RuleModel())
    assert bench.measured("FlashRAG", lambda asked: [][1], DATA.questions, llm) is None
    assert "FlashRAG: stopped with IndexError" in capsys.readouterr().out


def test_ratios_are_over_the_pairs_that_both_sides_finished():
    slow, fast = bench.Speed(1.0, 4.0, 100.0), bench.Speed(2.0, 5.0, 120.0)
    pairs = [{"ours": fast, "FlashRAG": slow}, {"ours": fast, "FlashRAG": None}]
    assert bench.ratio(pairs, "questions") == "median 2.00 (2.00-2.00), n=1"
    assert bench.ratio(pairs, "calls") == "median 1.25 (1.25-1.25), n=1"
    assert bench.ratio(pairs[1:], "calls").startswith("none")


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
