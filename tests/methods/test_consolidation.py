"""Consolidation: what a log reads most is studied, asked of the weights and, once changed, not."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from harness.boards.method_entry import load_method, parse_params
from harness.data.trained_on import check_untrained
from harness.errors import ConfigError, InputError
from harness.files import folder_bytes
from harness.fingerprint import folder_fingerprint
from harness.llm.edits import weights_digest
from harness.llm.model_config import ModelConfig
from harness.prompts import QAPrompts
from harness.records import Query
from harness.testing.conformance import check_method
from harness.testing.models import small_task
from methods.consolidation.control import ParametricQAUnstudied
from methods.consolidation.log import most_read, read_log
from methods.consolidation.method import DOCUMENTS, STUDY, WEIGHTS, ParametricQAConsolidated
from methods.parametric_qa.method import ParametricQA
from methods.study import training
from methods.study.questions import questions_of
from tests.harness.programs import open_with, remember
from tests.methods.parametric_qa.lab import load_tiny
from tests.methods.parametric_qa.small_tasks import write_shared
from tests.methods.weights.lab import KilledError, killed_in_the_fourth_step
from tests.tiny import save_tiny_adapter

DATA = small_task()
UNTRAINED = {"shared": None, "slots": 8, "z_dim": 64, "max_tokens": 6}
QUICK = {"questions": 4, "rank": 4, "epochs": 1, "batch": 4}
LEARNS = {"questions": 8, "rank": 8, "epochs": 20, "study_rate": 1e-2, "depth": 1, "max_tokens": 16}
OWN = ("shared", "slots", "z_dim", "max_tokens")
"""Parameters that are parametric-qa's, too."""
NAMES = ("parametric-qa-consolidated", "parametric-qa-consolidated-unstudied")


@pytest.fixture(scope="module")
def tiny(completion_model_dir):
    return load_tiny(completion_model_dir)


@pytest.fixture(scope="module")
def tuned(tiny, completion_model_dir, tmp_path_factory) -> str:
    """Shared parts with a tuned reader, a LoRA whose weights are far from zero."""
    folder = write_shared(tiny, tmp_path_factory.mktemp("shared") / "shared", DATA.corpus)
    save_tiny_adapter(completion_model_dir, folder / "adapter")
    return str(folder)


def made(cls=ParametricQAConsolidated, **values):
    return cls(parse_params(cls, "x", {**UNTRAINED, **QUICK, **values}))


def plain(**values):
    return ParametricQA(parse_params(ParametricQA, "parametric-qa", {**UNTRAINED, **values}))


def opened(method, llm, corpus=DATA.corpus):
    return open_with(method, llm, None, corpus, prompts=QAPrompts(), seed=0)


def write(method, llm, folder=None) -> Path:
    with llm.adapted(method.adapter):
        opened(method, llm)
        return remember(method, DATA.corpus, DATA.train, folder)


def answers(method, llm, memory, texts, corpus=DATA.corpus):
    """Predictions in the order of the questions, by the memory that is in a folder."""
    found = {}
    with llm.adapted(method.adapter):
        engine = opened(method, llm, corpus)
        method.load(memory)
        with llm.changed(method.changes):
            asked = [Query(str(n), text) for n, text in enumerate(texts)]
            engine.run(asked, lambda done: found.update({int(done.question_id): done.prediction}))
    return [found[n] for n in range(len(texts))]


def way(prediction) -> str:
    return next(step.data["way"] for step in prediction.steps if step.kind == "route")


def log_of(folder: Path, texts) -> str:
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps({"question": text}) + "\n" for text in texts))
    return str(path)


def documents(memory: Path) -> list[str]:
    return json.loads((memory / DOCUMENTS).read_text())


ASKED = [question.text for question in DATA.questions]


@pytest.mark.parametrize(("name", "in_force"), zip(NAMES, ["own", "always"], strict=True))
def test_conformance(tiny, name, in_force):
    values = {**UNTRAINED, **QUICK, "questions": 2, "in_force": in_force, "max_tokens": 4}
    kept = check_method(load_method(name), values, model=tiny)
    assert "afterwards the model's weights are bit for bit what they were" in kept
    assert "needs says what is changed of the model" in kept
    assert "revise() leaves what write() would" in kept


def test_the_most_read_is_counted_by_the_methods_own_selection(tiny, tmp_path):
    texts = [*ASKED, *ASKED[:3], ASKED[1]]
    bank = write(plain(), tiny)
    best = Counter(p.ranked_ids[0] for p in answers(plain(), tiny, bank, texts))
    assert len(set(best.values())) > 1, "else the order shows nothing"
    memory = write(made(log=log_of(tmp_path, texts), share=0.25), tiny)
    told = json.loads((memory / STUDY).read_text())
    ids = list(DATA.corpus.ids)
    wanted = sorted(best, key=lambda id_: (-best[id_], ids.index(id_)))[:3]  # 0.25 of ten
    assert documents(memory) == wanted
    assert told["reads"] == {id_: best[id_] for id_ in wanted}
    assert told["documents"] == 3


def test_without_a_log_the_train_questions_are_it(tiny, tmp_path):
    log = log_of(tmp_path, [question.text for question in DATA.train])
    one, other = write(made(), tiny), write(made(log=log), tiny)
    assert folder_fingerprint(one / WEIGHTS) == folder_fingerprint(other / WEIGHTS)


def test_documents_are_as_many_as_are_read_often_enough():
    reads, ids = {"a": 1, "b": 3, "c": 3, "d": 2}, ["a", "b", "c", "d", "e"]
    assert most_read(reads, ids, 1, 1) == {"b": 3, "c": 3, "d": 2, "a": 1}
    assert most_read(reads, ids, 1, 2) == {"b": 3, "c": 3, "d": 2}
    assert most_read(reads, ids, 0.2, 1) == {"b": 3}
    assert most_read(reads, ids, 0.21, 1) == {"b": 3, "c": 3}
    with pytest.raises(ConfigError, match=r"reads = 4: .* the most 3 times"):
        most_read(reads, ids, 1, 4)


@pytest.fixture(scope="module", params=["untrained", "tuned"])
def studied(request, tiny, tuned, tmp_path_factory):
    """Parameters and a memory in which the document read most was studied until it was known.

    With it: a question that was studied, and its answer.
    """
    shared = {"shared": tuned, "slots": None, "z_dim": None} if request.param == "tuned" else {}
    vell = DATA.corpus.get("d0")
    asked = next(a for a in questions_of(vell, LEARNS["questions"]) if a.answer == "Mara Quint")
    # Whatever is selected for it is what is studied and asked.
    bank = write(plain(**shared), tiny)
    (found,) = answers(plain(**shared), tiny, bank, [asked.question])
    assert found.ranked_ids[0] == "d0"
    folder = tmp_path_factory.mktemp("memory")
    params = {**shared, **LEARNS, "share": 0.1}
    memory = write(made(**params, log=log_of(folder, [asked.question])), tiny)
    assert documents(memory) == ["d0"]
    return params, memory, asked.question, bank


def test_what_is_consolidated_is_answered_from_the_weights_and_all_else_from_memory(tiny, studied):
    params, memory, question, bank = studied
    before = weights_digest(tiny.model)
    first, *others = answers(made(**params), tiny, memory, [question, *ASKED])
    assert (first.answer, way(first), first.read_ids) == ("Mara Quint", "weights", [])
    assert first.ranked_ids[0] == "d0" and len(first.ranked) == 5
    (step,) = [step for step in first.steps if step.kind == "generate"]
    assert step.data["adapters"] == ["adapter"] and "vectors]" not in step.data["prompt"]
    own = answers(plain(**{k: v for k, v in params.items() if k in OWN}),
                  tiny, bank, ASKED)  # fmt: skip
    ways = Counter(map(way, others))
    assert ways["memory"] >= 3
    for mine, theirs in zip(others, own, strict=True):
        assert mine.ranked_ids == theirs.ranked_ids
        assert way(mine) == ("weights" if mine.ranked_ids[0] == "d0" else "memory")
        if way(mine) == "memory":
            assert (mine.answer, mine.read_ids) == (theirs.answer, theirs.read_ids)
            assert "adapters" not in mine.steps[-1].data
    assert weights_digest(tiny.model) == before


def test_the_control_asks_the_same_without_the_lora(tiny, studied):
    params, memory, question, _ = studied
    asked = [question, *ASKED]
    mine = answers(made(**params), tiny, memory, asked)
    for in_force in ("own", "always"):
        control = made(ParametricQAUnstudied, **params, in_force=in_force)
        theirs = answers(control, tiny, memory, asked)
        assert list(map(way, mine)) == list(map(way, theirs))
        assert theirs[0].answer != "Mara Quint"
        assert theirs[0].steps[-1].data["prompt"] == mine[0].steps[-1].data["prompt"]
        for one, other in zip(mine, theirs, strict=True):
            assert way(one) == "weights" or one.answer == other.answer


def test_always_in_force_it_answers_the_same_and_reads_memories_by_other_weights(tiny, studied):
    params, memory, question, _ = studied
    before = weights_digest(tiny.model)
    asked = [question, *ASKED]
    own = answers(made(**params), tiny, memory, asked)
    always = answers(made(**params, in_force="always"), tiny, memory, asked)
    assert always[0].answer == "Mara Quint" and "adapters" not in always[0].steps[-1].data
    assert list(map(way, own)) == list(map(way, always))
    assert any(
        way(a) == "memory" and a.answer != b.answer for a, b in zip(own, always, strict=True)
    )
    assert weights_digest(tiny.model) == before


def test_storage_is_its_files(tiny, studied):
    params, memory, question, bank = studied
    one = made(**params)
    answers(one, tiny, memory, [question])
    parts = one.storage().parts
    assert parts["adapters"] == folder_bytes(memory / WEIGHTS) > 1000
    assert parts["memory vectors"] == folder_bytes(memory / "bank") == folder_bytes(bank / "bank")
    assert one.storage().documents == len(DATA.corpus)


def test_a_kill_ends_in_the_same_bytes(tiny, tuned, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    params = {"shared": tuned, "slots": None, "z_dim": None, "epochs": 4}
    whole = write(made(**params), tiny)
    before, steps = weights_digest(tiny.model), killed_in_the_fourth_step(monkeypatch)
    (scratch := tmp_path / "scratch").mkdir()

    def go_on():
        method = made(**params)
        with tiny.adapted(method.adapter):
            opened(method, tiny)
            method.open(replace(method.lent, scratch=scratch))
            return remember(method, DATA.corpus, DATA.train)

    with pytest.raises(KilledError):
        go_on()
    assert weights_digest(tiny.model) == before
    again = go_on()
    assert steps[:7] == [1, 2, 3, 4, 3, 4, 5], "it goes on from the checkpoint"
    assert folder_fingerprint(again / WEIGHTS) == folder_fingerprint(whole / WEIGHTS)


def test_a_log_is_refused_where_it_is_broken_and_counts_by_its_content(tmp_path):
    path = tmp_path / "log.jsonl"
    for text, words in (
        ("", "holds no questions"),
        ('{"question": "Who?"}\n{"text": "x"}\n', "log.jsonl:2: 'question' is missing"),
        ('{"question": 3}\n', "'question' is a number"),
        ("Who?\n", "not valid JSON"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            _ = made(log=str(path)).inputs
    with pytest.raises(InputError, match="nowhere"):
        _ = made(log=str(tmp_path / "nowhere.jsonl")).inputs
    one = made(log=log_of(tmp_path, ["Who?", "Where?"]))
    assert [query.text for query in read_log(one.params.log)] == ["Who?", "Where?"]
    known = one.inputs["log"]
    assert "log" not in one.params.model_dump() and one.provenance == {"log": one.params.log}
    log_of(tmp_path, ["Where?", "Who?"])
    assert one.inputs["log"] != known
    assert "log" not in made().inputs


def test_a_log_with_evaluated_questions_is_refused(tmp_path):
    method = made(log=log_of(tmp_path, ["Who asks?", ASKED[0].upper()]))
    with pytest.raises(
        InputError, match=r"1 of 8 questions are among those that log '.*log.jsonl'"
    ):
        check_untrained(DATA, method.trained_on())
    assert check_untrained(DATA, made(log=log_of(tmp_path, ["Who?"])).trained_on()) is DATA


def test_without_log_and_train_questions_it_is_refused_before_any_work(tmp_path):
    with pytest.raises(ConfigError, match="no train questions"):
        made().check_write(())
    made().check_write(DATA.train)
    made(log=log_of(tmp_path, ["Who?"])).check_write(())


def test_rounded_weights_with_a_tuned_reader_are_refused(tuned):
    method = made(shared=tuned, slots=None, z_dim=None)
    rounded = ModelConfig(name="r", path="x", quantization="nf4", prompt_style="completion")
    with pytest.raises(ConfigError, match="no second one is trained"):
        method.check_entry(rounded)
    method.check_entry(ModelConfig(name="r", path="x", prompt_style="completion"))
    made().check_entry(rounded)
