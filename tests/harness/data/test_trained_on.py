"""A run asks nothing that its trained parts learnt from, and says so where nobody knows."""

from __future__ import annotations

import json

import pytest

from harness.data.card import custom_task
from harness.data.task import load_task
from harness.data.trained_on import (
    TRAINED_ON,
    TrainedOn,
    check_untrained,
    counts,
    read_record,
    record_of_weights,
    warn_of_unknown,
    write_record,
)
from harness.errors import InputError
from harness.records import Question
from tests.harness.lab import write_task


@pytest.fixture
def data(tmp_path):
    files = write_task(tmp_path / "files", questions=6)
    names = ("questions", "corpus", "train")
    return load_task(custom_task("toy"), **{n: files / f"{n}.jsonl" for n in names})


def learnt(*texts: str) -> TrainedOn:
    return TrainedOn.of("shared parts 'mine'", [Question("other", text, ("x",)) for text in texts])


def test_a_record_comes_back(tmp_path, data):
    write_record(tmp_path, {"toy": data.questions, "more": data.train})
    known = read_record(tmp_path, "shared parts 'mine'")
    assert known == TrainedOn.of("shared parts 'mine'", [*data.questions, *data.train])
    assert len(json.loads((tmp_path / TRAINED_ON).read_text())["questions"]["toy"].split()) == 6


def test_an_asked_question_stops_with_how_many_the_first_and_the_way_on(data):
    with pytest.raises(InputError) as caught:
        check_untrained(data, [learnt("HOW is number 4 called", "how is number 2 called?", "who?")])
    asked = data.provenance["questions"]
    assert str(caught.value) == (
        "task 'toy': 2 of 6 questions are among those that shared parts 'mine' learnt from, the "
        f"first 'q2' ({asked}:3); leave them out for every method with --leave-out-trained "
        "(leave_out_trained: true in a board), or ask others"
    )


def test_they_are_left_out_if_asked_for(data):
    left = check_untrained(data, [learnt("how is number 2 called?")], leave_out=True)
    assert [q.id for q in left.questions] == ["q0", "q1", "q3", "q4", "q5"]
    assert left.provenance["left_out"] == "1 of 6 questions, which shared parts 'mine' learnt from"
    assert left.questions_fingerprint != data.questions_fingerprint
    assert left.train_fingerprint == data.train_fingerprint
    assert check_untrained(left, [learnt("how is number 2 called?")]) is left


def test_parts_of_one_name_all_count(tmp_path, data):
    """Routers of a sweep, or a model's weights and its adapter."""
    parts = [learnt("how is number 2 called?"), learnt("who?"), learnt("how is number 4 called?")]
    left = check_untrained(data, parts, leave_out=True)
    assert [q.id for q in left.questions] == ["q0", "q1", "q3", "q5"]
    assert counts(parts) == {"shared parts 'mine'": 3}
    assert counts([*parts, TrainedOn("shared parts 'mine'", None)]) == {"shared parts 'mine'": None}
    write_record(tmp_path, {"toy": data.train}, parts)
    assert read_record(tmp_path, "x") == TrainedOn(
        "x", TrainedOn.of("", data.train).questions.union(*(part.questions for part in parts))
    )


def test_nothing_left_to_ask_stops(data):
    everything = TrainedOn.of("it", data.questions)
    with pytest.raises(InputError, match="6 of 6 questions .* none is left to ask: give others"):
        check_untrained(data, [everything], leave_out=True)


def test_parts_without_a_record_are_said_once(tmp_path, data, caplog):
    unknown = read_record(tmp_path, "shared parts 'old'")
    assert unknown.questions is None
    parts = [unknown, unknown, learnt("who?")]
    assert check_untrained(data, parts) is data
    warn_of_unknown(parts)
    said = "not known which questions shared parts 'old' learnt from: no trained_on.json"
    assert caplog.messages == [f"{said} that this release reads"]


def test_a_record_of_other_hashes_is_unknown_and_a_broken_one_an_error(tmp_path):
    (tmp_path / TRAINED_ON).write_text('{"normal_form": 99, "questions": {"a": "00"}}')
    assert read_record(tmp_path, "x").questions is None
    for text in ("[]", "{}", '{"normal_form": 1, "questions": {"a": 1}}'):
        (tmp_path / TRAINED_ON).write_text(text)
        with pytest.raises(InputError, match="not a record of training"):
            read_record(tmp_path, "x")


def test_a_record_stands_for_weights_below_it(tmp_path):
    """Full tuning leaves a model in the folder of the shared parts, LoRA an adapter."""
    (tmp_path / "model").mkdir()
    assert record_of_weights(tmp_path / "model", "model 'm'") == []
    write_record(tmp_path, {"toy": [Question("q", "who?", ("x",))]})
    (found,) = record_of_weights(tmp_path / "model", "model 'm'")
    assert found == TrainedOn.of("model 'm'", [Question("q", "Who", ("x",))])
