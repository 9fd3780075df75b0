"""What a router learns from: no question twice, none that is shown or asked, and a record of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.data.leaks import question_hash
from harness.data.trained_on import TRAINED_ON, TrainedOn, read_record, write_record
from methods.adaptive_rag.method import AdaptiveRAG
from tests.methods.adaptive_lab import (
    able,
    build_tiny_encoder,
    engine,
    question,
)
from tests.methods.test_adaptive_rag import silver_labels, written

TRAIN = [question(n) for n in range(6)]
RIGHT = {q.text: "A" for q in TRAIN}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(build_tiny_encoder(tmp_path_factory.mktemp("encoder")))


def hashes(questions):
    return {question_hash(q.text) for q in questions}


def task_files(tmp_path, name="others", count=3):
    """Train questions of another task, as a bias task names them."""
    rows = [question(40 + n, hops=2, prefix=name) for n in range(count)]
    path = tmp_path / f"{name}.jsonl"
    lines = [
        {
            "id": q.id,
            "question": q.text,
            "golden_answers": list(q.golden_answers),
            "metadata": {"hops": 2},
        }
        for q in rows
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"name": name, "files": {"train": str(path)}}, rows


def test_a_saved_router_notes_every_question_that_it_learnt_from(encoder, tmp_path):
    entry, others = task_files(tmp_path)
    place = tmp_path / "memory"
    written(encoder, TRAIN, RIGHT, place, bias_tasks=(entry,), validation=0.4)
    known = read_record(place / "router", "x").questions
    assert known == hashes([*TRAIN, *others])
    again, asked = tmp_path / "again", question(90)
    written(str(place / "router"), [asked], {asked.text: "A"}, again, bias_tasks=())
    known = read_record(again / "router", "x").questions
    assert known == hashes([*TRAIN, *others, asked]), "what it had learnt from stays noted"


def test_bias_questions_are_known_before_anything_is_written(tmp_path):
    entry, others = task_files(tmp_path)
    params = AdaptiveRAG.Params(bias_tasks=(entry,), bias_questions=2)
    (known,) = AdaptiveRAG(params).trained_on()
    assert known == TrainedOn.of("the router (-p bias_tasks, bias_questions)", others[:2])
    assert AdaptiveRAG(AdaptiveRAG.Params(bias_tasks=())).trained_on() == ()


def test_a_local_routers_record_counts_and_is_no_part_of_its_identity(encoder, tmp_path):
    from pathlib import Path
    from shutil import copytree

    folder = Path(copytree(encoder, tmp_path / "router"))
    method = AdaptiveRAG(AdaptiveRAG.Params(router=str(folder), bias_tasks=()))
    before = method.inputs
    assert method.trained_on() == (TrainedOn(f"router '{folder}'", None),)
    write_record(folder, {"old": TRAIN})
    assert (folder / TRAINED_ON).is_file()
    assert method.inputs == before
    assert method.trained_on() == (TrainedOn.of(f"router '{folder}'", TRAIN),)


def test_files_of_bias_tasks_are_part_of_the_identity_and_names_are_not(tmp_path):
    entry, _ = task_files(tmp_path)
    method = AdaptiveRAG(AdaptiveRAG.Params(bias_tasks=("nq", entry)))
    before = method.inputs
    assert set(before) == {"bias task others"}
    task_files(tmp_path, count=4)
    assert method.inputs != before
    assert AdaptiveRAG.Params().model_dump(mode="json")["bias_tasks"] == [
        "nq", "triviaqa", "hotpotqa", "musique",
    ]  # fmt: skip


def test_a_demonstration_under_another_id_is_no_silver_question():
    method = AdaptiveRAG(AdaptiveRAG.Params(k=1, hop_k=2, bias_tasks=()))
    shown = replace(TRAIN[2], id="elsewhere", text=TRAIN[2].text.upper())
    engine(method, able(RIGHT), examples=[shown])
    silver, _ = silver_labels(method)
    assert {e.id for e in silver} == {"t0", "t1", "t3", "t4", "t5"}


def test_no_text_is_both_learnt_and_held_out_or_has_two_kinds_of_label(monkeypatch):
    seen = {}

    def train(self, place, examples, validation):
        seen.update(examples=list(examples), validation=list(validation))
        raise LookupError

    monkeypatch.setattr(AdaptiveRAG, "_train", train)
    train_again = [replace(q, id=f"again {q.id}", text=f"{q.text}!") for q in TRAIN]
    right = RIGHT | {q.text: "A" for q in train_again}
    with pytest.raises(LookupError):
        written(train=[*TRAIN, *train_again], correct=right, validation=0.5, silver_questions=9)
    learnt, held = hashes(seen["examples"]), hashes(seen["validation"])
    assert learnt and held
    assert not learnt & held
    bias = [e for e in seen["examples"] if e.label != "A"]
    assert not hashes(bias) & hashes(e for e in seen["examples"] if e.label == "A")
