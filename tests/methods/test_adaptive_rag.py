"""Adaptive-RAG's write phase: labels from a dictated model, a tiny router, memory, bad input."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from harness.errors import ConfigError, InputError
from harness.files import read_json
from methods.adaptive_rag.method import AdaptiveRAG
from tests.harness.programs import in_write, remember
from tests.methods.adaptive_lab import (
    CORPUS,
    able,
    ask,
    build_tiny_encoder,
    build_tiny_t5,
    engine,
    question,
    route_note,
    run,
)

PATTERNS = ["", "A", "B", "C", "AB", "AC", "BC", "ABC"]
TRAIN = [question(n) for n in range(8)]
CORRECT = {q.text: pattern for q, pattern in zip(TRAIN, PATTERNS, strict=True)}
SILVER = {"t1": "A", "t2": "B", "t3": "C", "t4": "A", "t5": "A", "t6": "B", "t7": "A"}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(build_tiny_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    return str(build_tiny_t5(tmp_path_factory.mktemp("t5")))


def make(router="all-minilm-l6-v2", **params):
    small = {"k": 1, "hop_k": 2, "bias_tasks": (), "epochs": 1, "batch_size": 8, "max_length": 32}
    return AdaptiveRAG(AdaptiveRAG.Params(**{"router": router, **small, **params}))


def written(
    router="all-minilm-l6-v2",
    train=TRAIN,
    correct=CORRECT,
    folder=None,
    *,
    examples=(),
    seed=0,
    **params,
):
    method = make(router, **params)
    engine(method, able(correct), examples, seed=seed)
    remember(method, CORPUS, train, folder)
    return method


def silver_labels(method):
    return in_write(method, CORPUS, lambda: method._silver_labels(TRAIN))


def cued(count=24):
    """Train questions whose first word tells the only route that answers them."""
    train = [question(n, "ABC"[n % 3], hops=1 + (n % 3 == 2)) for n in range(count)]
    return train, {q.text: "ABC"[n % 3] for n, q in enumerate(train)}


LEARNS = {"epochs": 15, "learning_rate": 1e-2, "bias_questions": 0}


def test_each_pattern_of_correct_routes_has_its_silver_label():
    method = make()
    engine(method, able(CORRECT))
    silver, unanswered = silver_labels(method)
    assert {e.id: e.label for e in silver} == SILVER
    assert unanswered == 1
    assert {e.text for e in silver} == {q.text for q in TRAIN[1:]}


def test_a_route_is_asked_only_what_no_simpler_one_answered():
    model = able(CORRECT)
    asked = []
    rule = model.reply
    model.reply = lambda request: asked.append(request.prompt) or rule(request)
    method = make(max_steps=1)
    engine(method, model)
    silver_labels(method)
    # 8 questions by A, the 4 that it fails by B, the 2 left by C in two calls each.
    assert len(asked) == 8 + 4 + 2 * 2


def test_demonstrations_are_left_out_of_the_silver_labels():
    method = make()
    engine(method, able(CORRECT), examples=[TRAIN[1], TRAIN[2]])
    silver, _ = silver_labels(method)
    assert {e.id for e in silver} == set(SILVER) - {"t1", "t2"}


def test_no_more_than_silver_questions_are_answered():
    method = make(silver_questions=3)
    engine(method, able(CORRECT))
    silver, unanswered = silver_labels(method)
    assert len(silver) + unanswered == 3


@pytest.fixture
def learnt(monkeypatch):
    """What the router is trained on, instead of training it."""
    seen = {}

    def train(self, place, examples, validation):
        seen.update(examples=list(examples), validation=list(validation))
        raise LookupError

    monkeypatch.setattr(AdaptiveRAG, "_train", train)

    def labels(train=TRAIN, correct=CORRECT, **params):
        with pytest.raises(LookupError):
            written(train=train, correct=correct, **params)
        return seen["examples"], seen["validation"]

    return labels


def test_the_router_learns_bias_labels_of_other_questions_and_silver_labels(learnt):
    examples, validation = learnt(validation=0)
    assert validation == []
    assert {e.id: e.label for e in examples} == {**SILVER, "t0": "B"}
    assert len(examples) == 8


def test_multi_hop_train_questions_lean_to_several_retrievals(learnt):
    train = [question(n, hops=2) for n in range(8)]
    examples, _ = learnt(train, {}, validation=0)
    assert [e.label for e in examples] == ["C"] * 8


def test_held_out_questions_are_trained_on_in_no_guise(learnt):
    train = [question(n) for n in range(60)]
    examples, validation = learnt(train, {q.text: "A" for q in train}, validation=0.3)
    assert 5 < len(validation) < 30
    assert not {e.id for e in validation} & {e.id for e in examples}
    assert {e.label for e in validation} == {"A"}
    assert len(examples) + len(validation) == 60


def test_shipped_train_questions_of_other_tasks_get_their_datasets_label(learnt):
    examples, _ = learnt(bias_tasks=("nq", "musique"), bias_questions=5, validation=0)
    nq = [e for e in examples if e.id.startswith("nq_")]
    musique = [e for e in examples if "hop__" in e.id]
    assert [e.label for e in nq] == ["B"] * 5
    assert [e.label for e in musique] == ["C"] * 5


def test_the_runs_own_task_among_the_bias_tasks_is_counted_once(learnt):
    own = [question(0)]
    (shipped,) = AdaptiveRAG(AdaptiveRAG.Params(bias_tasks=("nq",)))._bias_tasks()
    examples, _ = learnt(
        [*own, *shipped[:5]], {}, bias_tasks=("nq",), bias_questions=6, silver_questions=0
    )
    assert [e.id for e in examples] == ["t0", *[q.id for q in shipped[:6]]]


def test_what_was_learnt_decides_the_route(encoder):
    train, correct = cued()
    method = written(encoder, train, correct, **LEARNS)
    for cue in "ABC":
        asked = question(50, cue)
        found = ask(method, able({asked.text: cue}), asked)
        note = route_note(found)
        assert note["label"] == cue
        assert note["probabilities"][cue] > 0.5
        assert found.answer == "yes 50"


def test_a_t5_learns_the_same_way(t5, tmp_path):
    train, correct = cued()
    method = written(t5, train, correct, tmp_path, **{**LEARNS, "epochs": 10})
    asked = [question(50 + n, cue) for n, cue in enumerate("ABC")]
    assert [route_note(ask(method, able({}), q))["label"] for q in asked] == ["A", "B", "C"]
    other = make(t5)
    other.load(tmp_path)
    assert [ask(other, able({}), q) for q in asked] == [ask(method, able({}), q) for q in asked]


def test_the_report_counts_labels_and_compares_with_the_majority(encoder, tmp_path):
    train, correct = cued(21)
    written(encoder, [*train, question(40)], correct, tmp_path, **LEARNS)
    report = read_json(tmp_path / "labels.json")
    silver, validation = report["silver"], report["validation"]
    assert silver.pop("none correct") == 1
    assert {k: silver[k] + validation[k] for k in "ABC"} == {"A": 7, "B": 7, "C": 7}
    assert report["bias"] == {"A": 0, "B": 0, "C": 0}
    assert 1 <= report["epoch"] <= 15
    assert report["accuracy"] == 1.0
    total = sum(validation.values())
    assert report["majority accuracy"] == max(validation.values()) / total


def test_the_memory_holds_safetensors_and_json_and_answers_alike(encoder, tmp_path):
    train, correct = cued()
    method = written(encoder, train, correct, tmp_path, **LEARNS)
    assert {p.suffix for p in tmp_path.rglob("*") if p.is_file()} <= {".json", ".safetensors"}
    other = make(encoder)
    other.load(tmp_path)
    asked = [question(n, "ABC"[n % 3]) for n in range(6)]
    assert run(engine(other), asked) == run(engine(method), asked)


def test_the_same_seed_trains_the_same_router_and_another_another(encoder, tmp_path):
    train, correct = cued()
    saved = []
    for number, seed in enumerate([0, 0, 1]):
        (tmp_path / str(number)).mkdir()
        written(encoder, train, correct, tmp_path / str(number), seed=seed)
        saved.append((tmp_path / str(number) / "router" / "model.safetensors").read_bytes())
    assert saved[0] == saved[1] != saved[2]


def test_routers_answer_alike_one_at_a_time_and_batched(encoder):
    train, correct = cued()
    method = written(encoder, train, correct, **LEARNS)
    asked = [question(n, "ABC"[n % 3]) for n in range(32)]
    rows, batches = [], []
    for window in (32, 1):
        machine = engine(method, window=window)
        rows.append(run(machine, asked))
        batches.append(machine.channels["generate"].batches)
    assert rows[0] == rows[1]
    assert batches[0] * 3 <= batches[1]


def test_the_router_counts_as_shared_parameters(encoder):
    method = written(encoder)
    engine(method)
    report = method.storage()
    assert report.shared == method._router.bytes > 0
    assert report.parts["text"] == CORPUS.text_bytes
    assert report.documents == 3


def test_an_interrupted_write_asks_nothing_twice(encoder, tmp_path):
    method = make(encoder)
    engine(method, able(CORRECT), scratch=tmp_path)
    first = silver_labels(method)
    engine(method, able({}), scratch=tmp_path)  # would answer nothing
    assert silver_labels(method) == first


def test_without_train_questions_the_fix_is_named():
    with pytest.raises(InputError, match="--train FILE"):
        written(train=[])


def test_without_any_label_the_fix_is_named():
    with pytest.raises(InputError, match="answered 0 .* failed on 8; raise -p silver"):
        written(correct={}, bias_questions=0)


def test_without_a_silver_label_hop_types_are_learnt_and_it_is_said(learnt, caplog):
    with caplog.at_level(logging.WARNING):
        examples, validation = learnt(correct={})
    assert ({e.label for e in examples}, validation) == ({"B"}, [])
    assert "the router learns hop types alone" in caplog.text


def test_with_one_class_the_router_gives_it(encoder):
    method = written(encoder, correct={q.text: "A" for q in TRAIN}, **{**LEARNS, "validation": 0})
    assert route_note(ask(method, able({}), question(30)))["label"] == "A"


@pytest.mark.parametrize(
    ("params", "error", "match"),
    [
        ({"router": "mini-lm"}, ConfigError, "no router 'mini-lm'"),
        ({"bias_tasks": ("nqq",)}, ConfigError, "unknown task 'nqq'; did you mean 'nq'"),
    ],
)
def test_a_wrong_name_is_found_before_any_question_is_asked(params, error, match, monkeypatch):
    monkeypatch.setattr(AdaptiveRAG, "_silver_labels", lambda *_: pytest.fail("asked"))
    with pytest.raises(error, match=match):
        written(**params)


def test_importing_the_method_loads_neither_torch_nor_transformers():
    code = (
        "import sys, methods.adaptive_rag.method, methods.adaptive_rag.training\n"
        "assert not {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
