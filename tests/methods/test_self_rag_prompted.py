"""Self-RAG's decisions asked in words, with probabilities written by hand."""

from __future__ import annotations

import pytest

from harness.boards.method_entry import load_method
from harness.testing.models import RuleModel, ScriptedModel
from tests.harness.programs import queries
from tests.methods.self_rag_lab import ask, notes

READ = "Answer the question with"
RELEVANT, SUPPORTED, GOOD = "Does the passage help", "support the answer", "How good is the answer"
WANTED = "Would a passage"

REPLIES = {
    "Passage: Lighthouse": " Mara Quint\nnot this",
    "Passage: Grey Sea": " Oster",
    "Passage: Mara Quint": " Jon Abel",
    READ: " alone",
}


class Script(ScriptedModel):
    """Probabilities by what is asked and, unless they are equal for all, by title or answer."""

    def __init__(self, table, replies=REPLIES, **options) -> None:
        super().__init__(replies, **options)
        self.table = table

    def next_token_probs(self, requests):
        for index, request in enumerate(requests):
            text = str(request.prompt)
            (values,) = [row for asked, row in self.table.items() if asked in text]
            if isinstance(values, dict):
                values = next(row for key, row in values.items() if key in text)
            self._probs.next = lambda _, v=values, r=request: dict(zip(r.strings, v, strict=True))
            yield index, next(iter(super().next_token_probs([request])))[1]


def table(wanted: float = 0.9) -> dict:
    return {
        WANTED: (wanted, 1 - wanted),
        RELEVANT: {"Passage: Lighthouse": (0.6, 0.2), "Passage: Grey": (0.1, 0.1), "": (0, 0.3)},
        SUPPORTED: {
            "Passage: Lighthouse": (0.1, 0.2, 0.1),
            "Passage: Grey": (0.3, 0.1, 0.0),
            "": (0.0, 0.0, 0.2),
        },
        GOOD: {
            "Answer: Mara": (0.0, 0.1, 0.1, 0.2, 0.0),
            "Answer: Oster": (0.0, 0.0, 0.0, 0.1, 0.1),
            "": (0.1, 0.0, 0.0, 0.0, 0.0),
        },
    }


def run(model, **params):
    return ask("self-rag-prompted", model, **{"retriever": "bm25", "k": 3, **params})


def test_three_passages_scored_by_hand():
    found = run(Script(table()))
    scores = notes(found, "critique")
    assert [s["passage_id"] for s in scores] == ["d0", "d4", "d1"]
    assert [s["relevance"] for s in scores] == pytest.approx([0.75, 0.5, 0.0])
    assert [s["support"] for s in scores] == pytest.approx([0.5, 0.875, 0.0])
    assert [s["utility"] for s in scores] == pytest.approx([0.125, 0.75, -1.0])
    assert [s["score"] for s in scores] == pytest.approx([1.3125, 1.75, -0.5])
    assert found.answer == "Oster"
    assert found.ranked_ids == ["d0", "d4", "d1"]


def test_one_call_and_four_for_each_passage():
    found = run(Script(table()))
    assert (found.usage.llm_calls, found.usage.retrievals) == (1 + 4 * 3, 1)
    assert sum(step.kind == "generate" for step in found.steps) == 3


def test_weights_decide_which_answer_wins():
    found = run(Script(table()), support_weight=0.0, utility_weight=0.0)
    assert [s["score"] for s in notes(found, "critique")] == pytest.approx([0.75, 0.5, 0.0])
    assert found.answer == "Mara Quint"
    assert found.raw == " Mara Quint"


@pytest.mark.parametrize(
    ("p", "retrieves"), [(0.1, False), (0.25, False), (0.2501, True), (0.9, True)]
)
def test_passages_are_retrieved_only_above_the_threshold(p, retrieves):
    found = run(Script(table(p)), threshold=0.25)
    assert found.usage.retrievals == int(retrieves)
    assert found.answer == ("Oster" if retrieves else "alone")
    assert notes(found, "retrieval decision") == [{"probability": p, "retrieve": retrieves}]


def test_the_decision_is_normalised_over_yes_and_no():
    found = run(Script({**table(), WANTED: (0.01, 0.03)}), threshold=0.24)
    assert notes(found, "retrieval decision")[0]["probability"] == pytest.approx(0.25)
    assert found.usage.retrievals == 1


def test_without_retrieval_the_answer_is_the_closed_book_one():
    model = Script(table(0.0))
    found = run(model)
    (first, second) = model.requests
    assert WANTED in first.prompt
    assert "The passages may hold" not in second.prompt and "Passage:" not in second.prompt
    assert (found.usage.llm_calls, found.ranked) == (2, ())


@pytest.mark.parametrize(
    ("mode", "calls", "answer"), [("never", 1, "alone"), ("always", 12, "Oster")]
)
def test_the_mode_may_be_fixed(mode, calls, answer):
    found = run(Script(table()), mode=mode)
    assert (found.usage.llm_calls, found.answer) == (calls, answer)
    assert not notes(found, "retrieval decision")


def test_a_retriever_that_finds_nothing():
    (query,) = queries(1)
    model = Script(table())
    found = ask("self-rag-prompted", model, [type(query)("q", "???")], retriever="bm25")
    assert (found.answer, found.ranked_ids) == ("alone", [])
    assert (found.usage.llm_calls, found.usage.retrievals) == (2, 1)


def test_the_first_of_equal_answers_wins():
    even = {**table(), RELEVANT: (0.1, 0.1), SUPPORTED: (0, 0, 0), GOOD: (0, 0, 0, 0, 0)}
    found = run(Script(even))
    # Nothing known: equal shares, so a support of one half and a utility of 0.
    assert [s["score"] for s in notes(found, "critique")] == pytest.approx([1.0, 1.0, 1.0])
    assert found.answer == "Mara Quint"


def test_the_passage_is_read_with_the_prompt_of_every_method():
    model = Script(table())
    run(model, k=1)
    (reading,) = [r for r in model.requests if hasattr(r, "max_tokens")]
    bm25 = load_method("bm25")
    other = ScriptedModel({"": "x"})
    ask("bm25", other, k=1)
    assert reading == other.requests[0]
    assert reading.max_tokens == bm25().params.max_tokens


def test_questions_hold_passage_answer_and_options():
    model = Script(table())
    run(model, k=1)
    wanted, relevance, *rest = [r for r in model.requests if not hasattr(r, "max_tokens")]
    support, utility = rest
    assert wanted.strings == (" Yes", " No")
    assert relevance.strings == (" Yes", " No")
    assert support.strings == (" Yes", " Partly", " No")
    assert utility.strings == (" Bad", " Poor", " Fair", " Good", " Perfect")
    passage = "Passage: Lighthouse: The lighthouse of Vell was built by Mara Quint in 1821.\n"
    assert relevance.prompt.startswith(passage) and support.prompt.startswith(passage)
    assert "Passage:" not in utility.prompt and "Passage:" not in wanted.prompt
    assert all("\nAnswer: Mara Quint\n" in r.prompt for r in (support, utility))
    assert all(r.prompt.endswith("\nReply:") for r in (wanted, relevance, support, utility))


def test_a_chat_model_is_asked_without_blanks():
    found = run(RuleModel(style="chat"), mode="always")
    asked = [step.data["probs"] for step in found.steps if step.kind == "next_token_probs"]
    assert {word for probs in asked for word in probs} == {
        "Yes", "No", "Partly", "Bad", "Poor", "Fair", "Good", "Perfect",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "answer"), [("", ""), (" \n", ""), ("\n\n", ""), (" Mr. Quint. ", "Mr. Quint.")]
)
def test_the_answer_is_the_first_line(reply, answer):
    found = run(Script(table(), {READ: reply}), k=1)
    assert found.answer == answer


def test_the_card_says_what_it_is_not():
    card = load_method("self-rag-prompted").card
    assert "Not Self-RAG" in card.summary
    assert "This is not Self-RAG" in card.deviations[0]
