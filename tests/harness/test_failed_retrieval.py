"""Failed questions: what they retrieved before they failed is kept, stored and scored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import UnansweredError
from harness.llm.requests import GenerateRequest
from harness.metrics import Rules
from harness.prompts import Prompt
from harness.records import Prediction
from harness.runs.answers import _taken
from harness.runs.predictions import documents_of, prediction_row
from harness.runs.scoring import Together
from harness.testing.models import RuleModel
from harness.trace import note
from tests.harness.programs import DATA, Steps, answer_all

QUERIES = [question.query for question in DATA.questions[:3]]
GOLD = {"golden_answers": ["Mara Quint"], "gold_doc_ids": ["d0"]}


def gone(request: GenerateRequest) -> str:
    raise ConnectionError("the reader is gone")


def predicted(body, model: RuleModel | None = None) -> Prediction:
    """The prediction of the first of three questions."""
    return answer_all(Steps(body), QUERIES, model or RuleModel())["q0"].prediction


async def retrieve_and_read(method, query) -> Prediction:
    passages = await method.retriever.search(query.text, k=3)
    reply = await method.llm.generate(method.prompts.read(query, passages))
    return Prediction(reply.first_line, passages)


def test_recall_does_not_fall_because_the_reader_failed() -> None:
    calm, failed = predicted(retrieve_and_read), predicted(retrieve_and_read, RuleModel(gone))
    assert failed.error == "ConnectionError: the reader is gone"
    assert failed.ranked_ids == calm.ranked_ids and len(calm.ranked_ids) == 3
    assert failed.read_ids == calm.read_ids
    assert (failed.usage.retrievals, failed.usage.llm_calls) == (1, 0)
    rows = [json.loads(json.dumps(prediction_row("q0", each))) for each in (calm, failed)]
    together = Together.of(rows, retriever=True)
    scores = [together.score(row, GOLD, Rules(), ()) for row in rows]
    retrieval = [name for name in scores[0] if "@" in name or name.startswith("re")]
    assert "recall_read" in retrieval and scores[0]["recall@5"] == 1
    assert [scores[1][name] for name in retrieval] == [scores[0][name] for name in retrieval]
    assert (scores[1]["em"], scores[1]["f1"], scores[1]["error"]) == (0, 0, True)


def test_what_was_found_and_never_shown_was_not_read() -> None:
    async def stumble(method, query) -> Prediction:
        await method.retriever.search(query.text, k=2)
        raise ValueError("a bug")

    failed = predicted(stumble)
    assert len(failed.ranked_ids) == 2 and failed.read_ids == []


def test_a_prompt_that_shows_no_passage_reads_none() -> None:
    async def route(method, query) -> Prediction:
        await method.llm.generate(method.prompts.closed_book(query))
        await method.retriever.search(query.text, k=2)
        raise ValueError("a bug")

    assert predicted(route).read_ids == []


def test_a_note_may_hold_what_it_likes() -> None:
    async def odd(method, query) -> Prediction:
        for value in (None, 5, "d1", {"d1": 1}, [["d1"], 3, "d2"]):
            note("own", retrieved_ids=value)
        raise ValueError("a bug")

    failed = predicted(odd)
    assert (failed.error, failed.ranked_ids) == ("ValueError: a bug", ["d2"])


def test_several_searches_are_ranked_as_they_came() -> None:
    async def twice(method, query) -> Prediction:
        first = await method.retriever.search(query.text, k=2)
        await method.llm.generate("plain text")
        await method.retriever.search("the opera The Tide", k=2)
        raise ValueError(f"a bug after {len(first)}")

    failed = predicted(twice)
    searched = [step.data["retrieved_ids"] for step in failed.steps if step.kind == "search"]
    assert failed.ranked_ids == list(dict.fromkeys([*searched[0], *searched[1]]))
    assert failed.read_ids == failed.ranked_ids, "as of any prediction that does not tell"


def test_passages_that_did_not_fit_were_not_read() -> None:
    async def read_much(method, query) -> Prediction:
        passages = await method.retriever.search(query.text, k=4)
        await method.llm.generate(Prompt("Who?", passages=tuple(passages)))
        raise ValueError("a bug")

    whole, narrow = predicted(read_much), predicted(read_much, RuleModel(window=75))
    assert len(narrow.ranked_ids) == len(whole.read_ids) == 4
    assert 0 < len(narrow.read_ids) < 4
    assert narrow.read_ids == whole.read_ids[: len(narrow.read_ids)]


def test_memories_that_were_selected_count_as_retrieved() -> None:
    async def select(method, query) -> Prediction:
        note("select", retrieved_ids=["d4", "d0"], memories_read=["d4"])
        await method.llm.generate("memories")
        raise AssertionError

    row = prediction_row("q0", predicted(select, RuleModel(gone)))
    documents = documents_of(row)
    assert (documents.ranked, documents.read) == (["d4", "d0"], ["d4"])


@pytest.mark.parametrize("value", [float("nan"), object(), "\ud800"])
def test_a_prediction_that_cannot_be_stored_keeps_what_can_be(value: object) -> None:
    async def odd(method, query) -> Prediction:
        found = await retrieve_and_read(method, query)
        return Prediction(value, found.ranked)  # type: ignore[arg-type]

    answered = answer_all(Steps(odd), QUERIES)["q0"]
    row = json.loads(_taken(answered).line)
    assert row["error"] and row["answer"] == ""
    assert len(row["retrieved_ids"]) == 3
    assert [step["kind"] for step in row["steps"]] == ["search", "generate"]


def test_a_server_that_failed_leaves_no_answer_and_no_retrieval() -> None:
    def busy(request: GenerateRequest) -> str:
        raise UnansweredError("503")

    answered = answer_all(Steps(retrieve_and_read), QUERIES, RuleModel(busy))["q0"]
    assert answered.unanswered == "UnansweredError: 503"
    assert answered.prediction == Prediction("")


def test_errors_of_earlier_releases_are_scored_by_their_steps(tmp_path: Path) -> None:
    step = {"kind": "search", "query": "x", "k": 2, "retrieved_ids": ["d1", "d0"]}
    row = {"answer": "", "retrieved_ids": [], "steps": [step], "error": "ValueError: broken"}
    assert documents_of(row).ranked == ["d1", "d0"]
    assert documents_of({**row, "error": None}).ranked == []
