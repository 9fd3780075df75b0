"""A task folder appears whole or not at all, holds what a run reads, and says what it left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import harness.formats.digests
from harness.data.card import Task
from harness.data.task import TaskData, load_task
from harness.errors import InputError
from harness.formats.base import Asked, Changed, Dropped, Format, Item, Note, Part
from harness.formats.importing import Imported, import_source
from harness.records import Passage, Question

HERE = [Passage("d1", "T", "one"), Passage("d2", "", "two\nlines")]


class Given(Format):
    """Gives the items that a test names."""

    summary, source, hops = "given", "a file", "multi"

    def __init__(self, *items: Item, error: BaseException | None = None) -> None:
        super().__init__(self.Options())
        self.items, self.error = items, error

    def read(self, source: Path) -> Iterator[Item]:
        yield from self.items
        if self.error:
            raise self.error


def asked(id_: str, *gold: str, part: Part = "questions", **fields: Any) -> Asked:
    values = {"text": f"who is {id_}?", "golden_answers": ("me",), **fields}
    return Asked(Question(id_, gold_doc_ids=gold, **values), part)


Import = Callable[..., Imported]


@pytest.fixture
def given(tmp_path: Path) -> Import:
    (tmp_path / "source").write_text("rows")

    def run(*items: Item, error: BaseException | None = None, **options: Any) -> Imported:
        reader = Given(*items, error=error)
        return import_source("given", reader, tmp_path / "source", tmp_path / "out", **options)

    return run


def loaded(done: Imported) -> TaskData:
    return load_task(Task.from_folder(done.folder))


def counts(done: Imported) -> dict[str, tuple[int, str]]:
    found = {**done.tally.dropped, **done.tally.changed}
    return {why: (count.number, count.first) for why, count in found.items()}


def test_what_was_read_is_the_task_that_runs(given: Import) -> None:
    train = asked("t1", "d1", part="train", text="and who?")
    done = given(asked("q1", "d2", metadata={"hops": 2, "x": ["ä"]}), *HERE, train, task="mine")
    data = loaded(done)
    assert list(data.corpus) == HERE
    said = {"hops": 2, "x": ["ä"], "gold_doc_ids": ["d2"]}
    assert data.questions == (Question("q1", "who is q1?", ("me",), ("d2",), said),)
    assert [(q.id, q.gold_doc_ids) for q in data.train] == [("t1", ("d1",))]
    assert (data.name, data.card.hops, data.card.gold) == ("mine", "multi", "all")
    assert done.tally.written == {"passages": 2, "questions": 1, "train": 1}
    assert counts(done) == {}


def test_the_card_says_how_it_was_made_and_no_path(given: Import, tmp_path: Path) -> None:
    done = given(asked("q1"), *HERE, Dropped("rows of air", f"{tmp_path}/x:7"), Note("read so"))
    card = loaded(done).card
    assert (card.name, card.licence, card.citations) == ("out", "", ())
    assert card.caveats[1] == "Left out: rows of air (1)."
    record = json.loads((done.folder / "import.json").read_text())
    assert record["format"] == "given"
    assert record["left_out"] == {"rows of air": 1}
    assert record["notes"] == [
        "read so", "without gold passages, and so without Recall: 1 of 1 questions",
    ]  # fmt: skip
    kept = [path.read_text() for path in done.folder.rglob("*") if path.is_file()]
    assert not any(str(tmp_path) in text for text in kept)


def test_passages_of_one_id_are_merged_if_equal_else_the_first_stays(given: Import) -> None:
    other, same = Passage("d1", "T", "other"), Passage("d1", "T", "one")
    done = given(*HERE, same, other, Passage("d3", "T", "one"), same, asked("q1", "d1"))
    assert [passage.id for passage in loaded(done).corpus] == ["d1", "d2", "d3"]
    assert loaded(done).corpus.get("d1").text == "one"
    assert counts(done) == {
        "passages that came again just the same, written once": (2, "id 'd1'"),
        "passages with the id of an earlier, different one": (1, "id 'd1'"),
    }


def test_hashes_that_meet_by_chance_merge_nothing(
    given: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness.formats.digests, "_hash", lambda id_: (1, int(id_[1:])))
    passages = [Passage(f"d{n % 7}", "T", str(n % 7)) for n in range(10)]
    data = loaded(given(asked("q1", "d6", "d9"), *passages))
    assert [passage.id for passage in data.corpus] == [f"d{n}" for n in range(7)]
    assert data.questions[0].gold_doc_ids == ("d6",)


def test_questions_of_one_id_likewise_in_each_file(given: Import) -> None:
    again = asked("q1", text="who else?")
    done = given(
        *HERE, asked("q1"), again, asked("q1"), asked("q1", part="train", text="why?")
    )  # fmt: skip
    assert [q.text for q in loaded(done).questions] == ["who is q1?"]
    assert [q.text for q in loaded(done).train] == ["why?"]
    assert counts(done) == {
        "questions that came again just the same, written once": (1, "id 'q1'"),
        "questions with the id of an earlier, different one": (1, "id 'q1'"),
    }


def test_gold_that_no_passage_has_is_taken_out_and_counted(given: Import) -> None:
    done = given(asked("q1", "d9", "d1", "d1", "d8"), asked("q2", "d9"), asked("q3"), *HERE)
    assert [q.gold_doc_ids for q in loaded(done).questions] == [("d1",), (), ()]
    assert counts(done) == {
        "gold ids that no passage has": (3, "'d9' of question 'q1'"),
        "questions that lost all their gold": (1, "id 'q2'"),
    }
    assert done.tally.notes == ["without gold passages, and so without Recall: 2 of 3 questions"]


def test_what_the_reader_of_the_folder_would_refuse_is_left_out_or_mended(given: Import) -> None:
    done = given(
        *HERE,
        Passage("d3", " ", "\n"), Passage("d4", "title alone", ""), Passage(" ", "T", "x"),
        Passage("d5", "a\r\nb", "x"), Passage("d\0006", "T", "\ud800x"),
        asked("q1", "d6", golden_answers=("", "a", "a", " ")), asked("q2", text=" "),
        asked("q3", golden_answers=("",)), asked(""), asked("q4", metadata={"\0a": ["\udc00b"]}),
    )  # fmt: skip
    data = loaded(done)
    assert {passage.id: passage.title for passage in data.corpus} == {
        "d1": "T", "d2": "", "d4": "", "d5": "a b", "d6": "T",
    }  # fmt: skip
    assert [(q.id, q.golden_answers) for q in data.questions] == [("q1", ("a",)), ("q4", ("me",))]
    assert data.questions[1].metadata["a"] == ["b"]
    assert counts(done) == {
        "passages without a text": (1, "id 'd3'"),
        "passages without an id": (1, "text 'x'"),
        "questions without a text": (1, "id 'q2'"),
        "questions without an answer": (1, "id 'q3'"),
        "questions without an id": (1, "text 'who is ?'"),
        "titles whose line breaks became spaces": (1, "id 'd5'"),
        "texts that lost NUL characters or unpaired surrogates": (1, "id 'd\\x006'"),
    }


def test_equal_texts_under_several_ids_stay(given: Import) -> None:
    done = given(
        Passage("a", "T", "x"), Passage("b", "T", "x"), asked("q1", "b"), Changed("c", "1")
    )
    assert len(loaded(done).corpus) == 2
    assert counts(done) == {"c": (1, "1")}


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (HERE, "the source gave no questions"),
        ([asked("q1")], "the source gave no passages"),
        (
            [*HERE, asked("q1", golden_answers=()), asked("q2", golden_answers=())],
            "the source gave no questions; left out: questions without an answer: 2, the first id",
        ),
    ],
)
def test_a_source_without_questions_or_passages_is_refused(
    given: Import, tmp_path: Path, items: list[Item], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        given(*items)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("x"), OSError(5, "bad disk")])
def test_an_error_or_an_interruption_leaves_nothing(
    given: Import, tmp_path: Path, error: BaseException
) -> None:
    with pytest.raises((InputError, KeyboardInterrupt)):
        given(*HERE, asked("q1"), error=error)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_an_error_of_the_source_is_not_told_as_one_of_writing(given: Import) -> None:
    with pytest.raises(InputError, match=r"source: cannot be read \(bad disk\); check it"):
        given(error=OSError(5, "bad disk"))


def test_only_an_earlier_import_is_replaced_and_only_by_force(
    given: Import, tmp_path: Path
) -> None:
    first = given(*HERE, asked("q1"))
    with pytest.raises(InputError, match="out: exists; choose another folder, or replace it with"):
        given(*HERE, asked("q2"))
    with pytest.raises(KeyboardInterrupt):
        given(*HERE, error=KeyboardInterrupt(), force=True)
    assert loaded(first).questions[0].id == "q1"
    again = given(*HERE, asked("q2"), force=True)
    assert loaded(again).questions[0].id == "q2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]
    (tmp_path / "out/import.json").unlink()
    with pytest.raises(InputError, match="out: exists and is no earlier import; choose another"):
        given(*HERE, asked("q3"), force=True)


def test_an_empty_folder_is_filled(given: Import, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert loaded(given(*HERE, asked("q1"))).questions


def test_a_name_that_cannot_be_a_folder_is_refused_before_anything_is_read(given: Import) -> None:
    with pytest.raises(InputError, match="task name 'My Task' cannot become a folder"):
        given(error=AssertionError(), task="My Task")
