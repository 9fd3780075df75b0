from __future__ import annotations

import pytest

from harness.llm.requests import GenerateRequest, NextTokenRequest, ScoreRequest
from harness.records import Passage
from harness.testing.models import RuleModel, ScriptedModel, WordRetriever, small_task


def ask(model, *prompts, **options):
    requests = [GenerateRequest(prompt, **options) for prompt in prompts]
    return [reply.text for _, reply in model.generate(requests)]


def test_the_same_prompt_gets_the_same_words():
    model = RuleModel()
    assert ask(model, "one two three", "four") == ask(model, "one two three", "four")
    assert set(ask(model, "one two three")[0].split()) <= {"one", "two", "three"}
    assert ask(model, "") == ask(model, "")


def test_sampling_depends_on_the_seed():
    model = RuleModel()
    prompt = " ".join(map(str, range(50)))
    assert ask(model, prompt, temperature=1, seed=1) != ask(model, prompt, temperature=1, seed=2)
    assert ask(model, prompt, seed=1) == ask(model, prompt, seed=2)


def test_replies_are_cut_as_a_model_would_unless_verbose():
    def text(request):
        return "a b c\nd"

    assert ask(RuleModel(text), "x", stop=("\n",), max_tokens=2) == ["a b"]
    assert ask(RuleModel(text, verbose=True), "x", stop=("\n",), max_tokens=2) == ["a b c"]


def test_a_reply_tells_what_stopped_it():
    for model in (RuleModel(lambda _: "one. two"), ScriptedModel({"": "one. two"})):
        requests = [
            GenerateRequest("p", stop=(" ", ".", ". t", "two")),
            GenerateRequest("p", stop=("three",)),
            GenerateRequest("p", stop=("two",), one_line=True),
        ]
        told = [(reply.text, reply.stop) for _, reply in model.generate(requests)]
        assert told == [("one", ". t"), ("one. two", ""), ("one. ", "two")]
    line = GenerateRequest("p", stop=("two",), one_line=True)
    assert line.stopped_by("one\ntwo") == ""
    limited = RuleModel(lambda _: "a b c. d").generate([GenerateRequest("p", 2, stop=(".",))])
    assert [(reply.text, reply.stop) for _, reply in limited] == [("a b", "")]


def test_a_script_by_prompt():
    model = ScriptedModel({"Vell": ["first", "second"], "Os": "always"})
    assert ask(model, "Vell", "Oster", "Vell?", "Os") == ["first", "always", "second", "always"]
    assert [request.prompt for request in model.requests] == ["Vell", "Oster", "Vell?", "Os"]
    with pytest.raises(Exception, match="used up for the prompt: Vell"):
        ask(model, "Vell")
    with pytest.raises(Exception, match="no reply for the prompt: Ilm"):
        ask(model, "Ilm")


def test_a_script_as_a_queue():
    assert ask(ScriptedModel(["a", "b"]), "x", "y") == ["a", "b"]


def test_scripted_probabilities():
    model = ScriptedModel(probs={"x": {"Yes": 0.5}}, logprobs=[{"a b": -1.0, "c": -2.0}])
    ((_, probs),) = model.next_token_probs([NextTokenRequest("x", ("Yes", "No"))])
    assert probs.probs == {"Yes": 0.5, "No": 0.0}
    ((_, scores),) = model.score([ScoreRequest("x", ("c", "a b"))])
    assert (scores.logprobs, scores.token_counts) == ((-2.0, -1.0), (1, 2))


def test_a_script_must_cover_every_continuation():
    model = ScriptedModel(logprobs=[{"a": -1.0}])
    with pytest.raises(Exception, match=r"lack \['b'\]"):
        list(model.score([ScoreRequest("x", ("a", "b"))]))


def test_words_rank_and_ties_keep_the_order():
    corpus = small_task().corpus
    (found,) = WordRetriever(corpus).search(["Oster Ilm"], k=3)
    assert [p.id for p in found] == ["d1", "d2", "d3"]
    assert [p.score for p in found] == [2.0, 2.0, 1.0]
    assert WordRetriever(corpus).search(["xyzzy"], k=3) == [[]]
    assert WordRetriever(corpus, most=0).search(["Oster"], k=3) == [[]]
    assert all(isinstance(p, Passage) for p in found)
