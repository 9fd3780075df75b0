"""A folder of documents becomes passages that overlap, with stable ids and titles."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

import harness.formats.texts
from harness.data.card import Task
from harness.data.task import TaskData, load_task
from harness.errors import ConfigError, InputError
from harness.formats.importing import Imported, import_source
from harness.formats.open import open_format


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (tmp_path / "questions.csv").write_text("question,answer,gold\nwho?,me,b/note.md\n")
    return folder


def run(docs: Path, **options: object) -> Imported:
    given = {"questions": docs.parent / "questions.csv", **options}
    reader = open_format(
        "texts", {name: str(value) for name, value in given.items() if value != ""}
    )
    return import_source("texts", reader, docs, docs.parent / "out", force=True)


def loaded(done: Imported) -> TaskData:
    return load_task(Task.from_folder(done.folder))


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def test_passages_overlap_and_together_are_the_document(docs: Path) -> None:
    words = [f"w{n}" for n in range(23)]
    write(docs / "a.txt", "  " + " ".join(words[:9]) + "\n\n" + " ".join(words[9:]) + "\n")
    passages = list(loaded(run(docs, words=10, overlap=4)).corpus)
    assert [passage.id for passage in passages] == ["a.txt#1", "a.txt#2", "a.txt#3", "a.txt#4"]
    assert [passage.text.split() for passage in passages] == [
        words[0:10], words[6:16], words[12:22], words[18:23],
    ]  # fmt: skip
    assert passages[0].text == "w0 w1 w2 w3 w4 w5 w6 w7 w8\n\nw9"


@pytest.mark.parametrize(("count", "parts"), [(9, 1), (10, 1), (11, 2), (16, 2), (17, 3)])
def test_no_passage_repeats_only_what_another_has(docs: Path, count: int, parts: int) -> None:
    write(docs / "a.txt", "w " * count)
    assert len(loaded(run(docs, words=10, overlap=4)).corpus) == parts


def test_titles_are_first_headings_or_file_names(docs: Path) -> None:
    write(docs / "b/note.md", "intro\n## The *note* ##\n# later\nme")
    write(docs / "a-b.c.md", "```\n# no heading\n```\n# nor this\n")
    write(docs / "Read_me.txt", "# just text\n")
    write(docs / "PACKED.MD.GZ", gzip.compress(b"\xef\xbb\xbf# Packed\ntext"))
    write(docs / ".git/hidden.txt", "hidden")
    data = loaded(run(docs))
    assert {passage.id: passage.title for passage in data.corpus} == {
        "Read_me.txt#1": "Read_me", "a-b.c.md#1": "a-b.c", "b/note.md#1": "The *note*",
        "PACKED.MD.GZ#1": "Packed",
    }  # fmt: skip
    assert list(data.corpus.ids) == sorted(data.corpus.ids)


def test_gold_documents_are_their_passages_and_any_of_them_counts(docs: Path) -> None:
    write(docs / "b/note.md", "w " * 150)
    write(docs / "b/other.md", "w " * 150)
    write(
        docs.parent / "questions.csv",
        "question,answer,gold\nwho?,me,./b/note.md\nwhat?,x,b/other.md#2\nwhy?,y,gone.md\n",
    )
    done = run(docs)
    data = loaded(done)
    assert [question.gold_doc_ids for question in data.questions] == [
        ("b/note.md#1", "b/note.md#2"), ("b/other.md#2",), (),
    ]  # fmt: skip
    assert data.card.gold == "any"
    assert done.tally.dropped["gold ids that no passage has"].first == "'gone.md' of question '3'"


def test_files_that_are_no_text_are_counted_with_the_first_place(docs: Path) -> None:
    write(docs / "b/note.md", "me")
    write(docs / "empty.txt", " \n")
    write(docs / "binary.txt", b"a\0b")
    write(docs / "latin.txt", "é".encode("latin-1"))
    write(docs / "paper.pdf", b"%PDF")
    done = run(docs)
    assert {why: (found.number, found.first) for why, found in done.tally.dropped.items()} == {
        "files without a text": (1, f"{docs}/empty.txt"),
        "files that are binary": (1, f"{docs}/binary.txt"),
        "files that are not utf-8 (-o encoding)": (1, f"{docs}/latin.txt"),
        "files that are neither .txt nor .md": (1, f"{docs}/paper.pdf"),
    }
    assert loaded(run(docs, encoding="latin-1")).corpus.get("latin.txt#1").text == "é"


def test_what_is_no_file_is_counted_and_not_followed(docs: Path) -> None:
    write(docs / "b/note.md", "me")
    (docs / "round").symlink_to(docs, target_is_directory=True)
    (docs / "gone.txt").symlink_to("nowhere")
    os.mkfifo(docs / "pipe.md")
    (docs / "also.md").symlink_to("b/note.md")
    done = run(docs)
    assert list(loaded(done).corpus.ids) == ["also.md#1", "b/note.md#1"]
    assert [(found.number, found.first) for found in done.tally.dropped.values()] == [
        (3, f"{docs}/gone.txt")
    ]


def test_a_file_that_memory_may_not_hold_is_left_out(
    docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness.formats.texts, "_LONGEST_TEXT", 1 << 20)
    write(docs / "b/note.md", "me")
    write(docs / "long.txt.gz", gzip.compress(b" " * (3 << 20)))
    dropped = run(docs).tally.dropped["files of more than 1 MB, unpacked"]
    assert dropped.first == f"{docs}/long.txt.gz"


def test_a_text_without_spaces_is_cut_too(docs: Path) -> None:
    write(docs / "zh.txt", "東京は日本の首都です。" * 20)
    write(docs / "blob.md", "x" * 1_000)
    data = loaded(run(docs, words=50, overlap=0))
    assert sum(id_.startswith("zh") for id_ in data.corpus.ids) == 5
    parts = [passage.text for passage in data.corpus if passage.id.startswith("blob")]
    assert parts == ["x" * 1_000]
    assert len(loaded(run(docs, words=2, overlap=0)).corpus.get("blob.md#1").text) == 400


def test_questions_may_lie_in_the_folder(docs: Path) -> None:
    write(docs / "b/note.md", "me")
    write(docs / "questions.jsonl", '{"question": "who?", "answers": "me"}')
    write(docs / "train.csv", "question,answer\nwhich?,this\n")
    done = run(docs, questions="")
    assert [question.text for question in loaded(done).questions] == ["who?"]
    assert [question.text for question in loaded(done).train] == ["which?"]
    assert not done.tally.dropped


def test_a_single_document_will_do(docs: Path) -> None:
    write(docs / "a.txt", "me")
    reader = open_format("texts", {"questions": str(docs.parent / "questions.csv")})
    done = import_source("texts", reader, docs / "a.txt", docs.parent / "out")
    assert list(loaded(done).corpus.ids) == ["a.txt#1"]


def test_what_is_missing_is_said(docs: Path) -> None:
    write(docs / "a.txt", "me")
    with pytest.raises(InputError, match="docs: which questions are asked"):
        run(docs, questions="")
    (docs / "a.txt").rename(docs / "a.doc")
    with pytest.raises(InputError, match="gave no passages; left out: files that are neither"):
        run(docs)
    with pytest.raises(InputError, match="gone: not found; give a file or a folder"):
        run(docs.parent / "gone")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"words": 20}, "format 'texts': overlap must be smaller than words; they are 20 and 20"),
        ({"words": 0}, "option 'words': Input should be greater than or equal to 1"),
        ({"encoding": "klingon"}, "encoding 'klingon' is unknown"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_format("texts", {name: str(value) for name, value in options.items()})
