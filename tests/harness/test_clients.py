from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace

import pytest

from harness.llm.requests import Reply
from harness.method import Method
from harness.prompts import SOFT, Message, Prompt
from harness.records import Passage, Prediction, Query, Usage
from harness.runs.predictions import prediction_row
from harness.testing.models import RuleModel, ScriptedModel
from tests.harness.programs import DATA, Shuffled, Steps, predictions, queries


class Seeds(RuleModel):
    """Replies with the seed it was given."""

    def __init__(self) -> None:
        super().__init__(lambda request: str(request.seed))


async def _sample_three(method, query):
    first = await method.llm.generate(query.text, temperature=0.7)
    rest = await asyncio.gather(*(method.llm.generate("x", temperature=0.7) for _ in range(2)))
    return Prediction(" ".join(reply.text for reply in (first, *rest)))


def test_sampling_seeds_depend_on_run_question_and_step_alone():
    def seeds(asked, **options):
        found = predictions(Steps(_sample_three), asked, Seeds(), **options)
        return {key: p.answer.split() for key, p in found.items()}

    base = seeds(queries(5))
    assert seeds(queries(5)[::-1], window=1) == base
    renamed = seeds([Query("other", queries(1)[0].text)])["other"]
    reworded = seeds([Query("q0000", "another text")])["q0000"]
    assert reworded == base["q0000"] != renamed
    other_run = seeds(queries(5), seed=1)
    every = [seed for found in (base, other_run) for row in found.values() for seed in row]
    assert len(set(every)) == len(every) == 30


def test_greedy_calls_carry_no_seed():
    async def body(method, query):
        return Prediction((await method.llm.generate(query.text)).text)

    assert {p.answer for p in predictions(Steps(body), queries(3), Seeds()).values()} == {"0"}


@pytest.mark.parametrize(
    ("prompt", "stop", "wanted"),
    [
        ("text", None, ("\n",)),
        ((Message("user", "text"),), None, ()),
        ("text", ["###"], ("###",)),
        ("text", [], ()),
    ],
)
def test_completion_models_stop_at_the_line_by_default(prompt, stop, wanted):
    async def body(method, query):
        return Prediction((await method.llm.generate(prompt, stop=stop, max_tokens=9)).text)

    model = ScriptedModel(["reply"])
    predictions(Steps(body), queries(1), model)
    assert model.requests[0].stop == wanted
    assert model.requests[0].max_tokens == 9


async def _read(method, query):
    passages = await method.retriever.search(query.text, k=5)
    reply = await method.llm.generate(method.prompts.read(query, passages), max_tokens=4)
    return Prediction(reply.first_line, passages)


@pytest.mark.parametrize("style", ["completion", "chat"])
def test_passages_are_dropped_from_the_end_and_the_question_stays(style):
    model = RuleModel(window=70, style=style)
    asked = [Query("q", "Who built the lighthouse of Vell on the river Ilm in Oster?")]
    (found,) = predictions(Steps(_read), asked, model).values()
    prompt = found.steps[-1].data["prompt"]
    kept = [p for p in found.ranked if p.text in prompt]
    assert 0 < len(kept) < len(found.ranked) == 5
    assert tuple(kept) == tuple(found.ranked)[: len(kept)]
    assert found.usage.passages_dropped == 5 - len(kept)
    assert asked[0].text in prompt
    assert found.usage.prompt_tokens + 4 <= 70
    assert found.read_ids == [passage.id for passage in kept]
    assert prediction_row("q", found)["read_ids"] == found.read_ids


def test_what_fits_into_a_later_prompt_was_read():
    async def body(method, query):
        passages = await method.retriever.search("Vell Oster Ilm", k=5)
        for max_tokens in (24, 4):
            prompt = method.prompts.read(query, passages)
            await method.llm.generate(prompt, max_tokens=max_tokens)
        return Prediction("x", passages)

    (found,) = predictions(Steps(body), [Query("q", "Vell?")], RuleModel(window=70)).values()
    first, last = (step.data["passages_dropped"] for step in found.steps[1:])
    assert first > last > 0
    assert found.read_ids == found.ranked_ids[:-last]


def test_soft_prompts_take_their_place_in_the_window():
    async def body(method, query):
        passages = await method.retriever.search(query.text, k=5)
        prompt = method.prompts.read(query, passages)
        prompt = replace(prompt, ask=SOFT + prompt.ask)
        await method.llm.generate(prompt, max_tokens=4, soft_prompts=[[0.0] * 40])
        return Prediction("x", passages)

    asked = [Query("q", "Who built the lighthouse of Vell on the river Ilm in Oster?")]
    (found,) = predictions(Steps(body), asked, RuleModel(window=110)).values()
    (plain,) = predictions(Steps(_read), asked, RuleModel(window=70)).values()
    assert found.usage.passages_dropped == plain.usage.passages_dropped > 0


def test_a_question_longer_than_the_window_is_that_questions_error():
    asked = [Query("long", "word " * 100), Query("short", "Vell?")]
    found = predictions(Steps(_read), asked, RuleModel(window=60))
    assert found["long"].error.startswith("PromptTooLongError")
    assert "shorten the question" in found["long"].error
    assert len(found["long"].steps) == 1
    assert found["short"].error is None


def test_scoring_leaves_room_for_the_longest_continuation():
    async def body(method, query):
        passages = await method.retriever.search("Vell Oster Ilm", k=5)
        prompt = method.prompts.read(query, passages)
        await method.llm.score(prompt, ["no", "word " * 30])
        return Prediction("")

    (found,) = predictions(Steps(body), [Query("q", "Vell?")], RuleModel(window=80)).values()
    assert found.usage.passages_dropped > 0
    assert found.usage.prompt_tokens + 30 <= 80


def test_impossible_continuations_can_be_stored():
    async def body(method, query):
        scores = await method.llm.score("x", ["yes", "no"])
        assert scores.logprobs == (-math.inf, -0.25)
        return Prediction("")

    model = ScriptedModel(logprobs=[{"yes": -math.inf, "no": -0.25}])
    (found,) = predictions(Steps(body), queries(1), model).values()
    assert found.error is None
    assert found.steps[0].data["logprobs"] == [None, -0.25]
    json.dumps(prediction_row("q", found), allow_nan=False)


def test_half_a_character_in_a_reply_can_be_stored():
    async def body(method, query):
        return Prediction((await method.llm.generate("x")).text)

    (found,) = predictions(Steps(body), queries(1), ScriptedModel(["tower \ud83d"])).values()
    assert found.answer == found.raw == found.steps[0].data["reply"] == "tower ?"


def test_thoughts_and_a_limit_stand_in_the_trace_alone():
    async def body(method, query):
        return Prediction((await method.llm.generate("x")).text)

    whole = Reply("Paris", thoughts="half \ud83d", cut_off=True)
    (found,) = predictions(Steps(body), queries(1), ScriptedModel([whole])).values()
    (step,) = found.steps
    assert (found.answer, step.data["thoughts"], step.data["cut_off"]) == ("Paris", "half ?", True)
    (found,) = predictions(Steps(body), queries(1), ScriptedModel(["Paris"])).values()
    assert not {"thoughts", "cut_off"} & set(found.steps[0].data)


def test_thoughts_take_their_place_in_the_window():
    async def body(method, query):
        passages = await method.retriever.search("Vell", k=4)
        prompt = Prompt(query.text, passages=tuple(passages))
        return Prediction((await method.llm.generate(prompt, max_tokens=10)).text)

    model = RuleModel(window=70)
    dropped = []
    for model.thinking_tokens in (0, 30):
        (found,) = predictions(Steps(body), [Query("q", "Vell?")], model).values()
        assert found.usage.prompt_tokens + model.thinking_tokens + 10 <= 70
        dropped.append(found.usage.passages_dropped)
    assert dropped[0] < dropped[1]


@pytest.mark.parametrize(("goes_on", "shown"), [(False, 2), (True, 8)])
def test_a_reply_that_has_begun_leaves_the_room_of_thoughts_to_passages(goes_on, shown):
    """Unless the model is asked to go on in another turn, before which it may think again."""
    passages = tuple(Passage(str(n), "", "word " * 8) for n in range(8))
    prompt = Prompt("Who?", passages=passages, reply_so_far="A fact.\n")

    async def body(method, query):
        return Prediction((await method.llm.generate(prompt, max_tokens=10)).text)

    model = RuleModel(style="chat", window=110)
    model.thinking_tokens, model.goes_on = 70, goes_on
    (found,) = predictions(Steps(body), queries(1), model).values()
    assert len(passages) - found.usage.passages_dropped == shown


def test_every_call_leaves_a_complete_step():
    async def body(method, query):
        await method.retriever.search("Vell", k=1)
        await method.llm.next_token_probs("Is it?", ["Yes", "No"])
        return Prediction("x")

    model = ScriptedModel(probs=[{"Yes": 0.75}])
    (found,) = predictions(Steps(body), queries(1), model).values()
    search, probs = found.steps
    assert search.data["query"] == "Vell" and search.data["k"] == 1
    assert search.data["retrieved_ids"] == ["d0"] and search.data["scores"] == [1.0]
    assert probs.data["probs"] == {"Yes": 0.75, "No": 0.0}
    assert found.raw == ""


def test_storage_counts_the_text_and_the_index():
    class Plain(Method):
        retriever_name = "bm25"

        async def answer(self, query):
            return Prediction("")

    method = Plain()
    predictions(method, queries(1))
    report = method.storage()
    assert report.parts["text"] == sum(len(p.contents.encode()) for p in DATA.corpus)
    assert report.parts["sparse index"] > 0
    assert report.documents == len(DATA.corpus)


def test_calls_of_one_question_share_a_batch():
    model = Shuffled()
    predictions(Steps(_sample_three), queries(3), model)
    assert model.sizes == [3, 6]


def test_a_step_tells_thoughts_and_a_cut_reply_only_where_there_are_any():
    async def body(method, query):
        replies = [await method.llm.generate(f"{word} {query.text}") for word in ("a", "b", "c")]
        return Prediction(replies[0].text)

    plain = Reply("Paris")
    thinking = Reply("Paris", thoughts="France has \ud800 one capital.")
    limit = Reply("", thoughts="Let me", cut_off=True)
    model = ScriptedModel({"a ": plain, "b ": thinking, "c ": limit})
    (found,) = predictions(Steps(body), queries(1), model).values()
    one, two, three = (step.data for step in found.steps)
    assert not {"thoughts", "cut_off"} & one.keys()
    assert (two["thoughts"], "cut_off" in two) == ("France has ? one capital.", False)
    assert (three["thoughts"], three["cut_off"]) == ("Let me", True)
    assert prediction_row("q", found)["steps"][2]["cut_off"] is True


def test_counts_of_cut_passages_are_stored_where_there_are_any():
    usage = Usage(llm_calls=1, passages_dropped=2)
    assert "passages_cut" not in prediction_row("q", Prediction("", usage=usage))["usage"]
    row = prediction_row("q", Prediction("", usage=replace(usage, passages_cut=3)))
    assert row["usage"]["passages_cut"] == 3
