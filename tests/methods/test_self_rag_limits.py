"""Both forms of Self-RAG and the prompted one: bounds, batches, and a checkpoint's shape."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.boards.method_entry import load_method
from harness.llm.catalogue import resolve_model
from harness.llm.model_config import ModelConfig
from harness.llm.open import open_model
from harness.retrieval.base import Retriever
from harness.testing.conformance import check_method
from harness.testing.models import WordRetriever, hashed_probability, small_task
from methods.self_rag.tokens import TOKENS
from tests.harness.programs import DATA, answer_all, make_engine, open_with, queries
from tests.methods.self_rag_lab import TokenModel, has_control, hashed_tokens
from tests.tiny_checkpoints import SELF_RAG_TOKENS, build_tiny_self_rag

SHORT, LONG = ("self-rag", {}), ("self-rag", {"form": "long"})
PROMPTED = ("self-rag-prompted", {})


def build(name, params):
    cls = load_method(name)
    return cls(cls.Params(retriever="bm25", **params))


def bound(name: str, params: dict) -> int:
    k = params["k"]
    if name == "self-rag-prompted":
        return 1 + 4 * k
    if params["form"] == "short":
        return 1 + k
    return 1 + k + (params["max_depth"] - 1) * params["beam_width"] * k


@st.composite
def settings_of_a_run(draw):
    name = draw(st.sampled_from(["self-rag", "self-rag-prompted"]))
    params = {
        "k": draw(st.integers(1, 4)),
        "mode": draw(st.sampled_from(["adaptive", "always", "never"])),
        "threshold": draw(st.sampled_from([0.0, 0.2, 1.0])),
    }
    if name == "self-rag":
        params["form"] = draw(st.sampled_from(["short", "long"]))
        params["beam_width"] = draw(st.integers(1, 3))
        params["max_depth"] = draw(st.integers(1, 4))
        params["ignore_contradictions"] = draw(st.booleans())
        params["sequence_score"] = draw(st.sampled_from([None, False, True]))
        params["closed"] = draw(st.booleans())
    return name, params


WORDS = st.sampled_from([*TOKENS, " Oster", "\n", ".", " "])


@given(
    run=settings_of_a_run(),
    tokens=st.lists(WORDS, max_size=6),
    p=st.sampled_from([0.0, 5e-324, 0.5, 1.0]),
    most=st.sampled_from([None, 0, 1]),
)
def test_any_model_is_asked_a_bounded_number_of_times(run, tokens, p, most):
    name, params = run
    model = TokenModel(lambda _: tokens, lambda *_: p)
    method, found = build(name, params), []
    engine = open_with(method, model, WordRetriever(DATA.corpus, most), DATA.corpus)
    engine.run(queries(2), found.append)
    for answered in found:
        prediction = answered.prediction
        assert prediction.error is None
        assert prediction.usage.llm_calls <= bound(name, params)
        assert prediction.usage.retrievals <= 1
        assert "\n" not in prediction.answer
        assert name == "self-rag-prompted" or not has_control(prediction.answer)


def test_a_model_that_always_wants_more_reaches_the_bound_and_ends():
    params = {"k": 4, "form": "long", "mode": "adaptive", "beam_width": 2, "max_depth": 7}
    model = TokenModel(lambda _: ["[Relevant]", " more", "[Retrieval]"], lambda *_: 0.5)
    (found,) = answer_all(build("self-rag", params), queries(1), model).values()
    assert found.prediction.usage.llm_calls == bound("self-rag", params) == 1 + 4 + 6 * 2 * 4


@pytest.mark.parametrize("chosen", [SHORT, LONG, PROMPTED], ids=["short", "long", "prompted"])
def test_one_at_a_time_and_in_batches(chosen):
    name, params = chosen
    model = TokenModel(hashed_tokens, hashed_probability)
    found, batches = {}, {}
    for window in (1, 32):
        rows = []
        engine = make_engine(build(name, params), model, window=window)
        engine.run(queries(32), rows.append)
        found[window] = {row.question_id: row.prediction for row in rows}
        kinds = ("generate", "next_token_probs", "score")
        batches[window] = sum(engine.channels[kind].batches for kind in kinds)
    assert found[1] == found[32]
    assert len({prediction.answer for prediction in found[1].values()}) > 4
    assert 3 * batches[32] <= batches[1]


@pytest.mark.parametrize(
    "params", [{"form": "long"}, {"mode": "always", "closed": True}, {"mode": "never"}]
)
def test_conformance_beyond_the_defaults(params):
    check_method(load_method("self-rag"), params)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A model opened like the catalogue's entry, but tiny and random."""
    folder = build_tiny_self_rag(tmp_path_factory.mktemp("self-rag") / "model")
    entry = resolve_model("selfrag-llama2-7b")
    config = ModelConfig(**{**entry.model_dump(exclude_defaults=True), "path": str(folder)})
    return open_model(config)


def run_small_task(method, llm, **options):
    data, rows = small_task(), []
    retriever: Retriever = WordRetriever(data.corpus)
    engine = open_with(method, llm, retriever, data.corpus, **options)
    engine.run([question.query for question in data.questions], rows.append)
    return {row.question_id: row.prediction for row in rows}


def test_the_tokens_are_those_of_the_checkpoint(checkpoint):
    assert sorted(SELF_RAG_TOKENS) == sorted(TOKENS)
    prompt = checkpoint.encode("### Response:\n[Retrieval]<paragraph>Vell\nAn island.</paragraph>")
    spelt = checkpoint.tokenizer.convert_ids_to_tokens(prompt)
    assert [t for t in spelt if t in TOKENS] == ["[Retrieval]", "<paragraph>", "</paragraph>"]
    assert checkpoint.trained_for == {"self-rag"}


LONG_AT_ONCE = {"form": "long", "mode": "always", "max_depth": 2, "k": 2}


@pytest.mark.parametrize("params", [{}, LONG_AT_ONCE])
def test_a_checkpoint_end_to_end_alone_and_in_batches(checkpoint, params):
    values = {"k": 3, "max_tokens": 12, "threshold": 0.0, **params}
    batched = run_small_task(build("self-rag", values), checkpoint)
    alone = run_small_task(build("self-rag", values), checkpoint, window=1)
    assert batched == alone
    assert len(batched) == 8
    assert all(row.error is None for row in batched.values())
    assert not any(has_control(row.answer) for row in batched.values())
    assert any(row.answer for row in batched.values())
    judged = [
        step.data for row in batched.values() for step in row.steps if step.kind == "critique"
    ]
    assert len({step["relevance"] for step in judged}) > 8
