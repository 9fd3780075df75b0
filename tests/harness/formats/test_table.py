"""Tables of any kind and any columns become the same task."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from hashlib import sha256
from io import StringIO
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
import zstandard

from harness.data.card import Task
from harness.data.task import TaskData, load_task
from harness.errors import ConfigError, InputError
from harness.formats.importing import Imported, import_source
from harness.formats.open import open_format
from harness.formats.rows import parquet_rows

Row = dict[str, Any]
CORPUS: list[Row] = [
    {"id": 1, "title": "Moon", "text": 'The "Eagle"\nlanded in 1969, on the Moon.'},
    {"id": 2, "title": "", "text": "où | là"},
]
QUESTIONS: list[Row] = [
    {"id": 7, "question": "When did it land?", "answers": ["1969", "in 1969"], "gold": [1]},
    {"id": 8, "question": "Where?", "answers": ["on the Moon"], "gold": [1, 2]},
]


def delimited(rows: list[Row], delimiter: str) -> bytes:
    text = StringIO()
    table = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    table.writeheader()
    for row in rows:
        cells = {k: "|".join(map(str, v)) if isinstance(v, list) else v for k, v in row.items()}
        table.writerow(cells)
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def parquet(rows: list[Row]) -> bytes:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    sink = pa.BufferOutputStream()
    write_table(pa.Table.from_pylist(rows), sink)
    return bytes(sink.getvalue())


KINDS: dict[str, Callable[[list[Row]], bytes]] = {
    "csv": lambda rows: delimited(rows, ","),
    "tsv": lambda rows: delimited(rows, "\t"),
    "jsonl": lambda rows: "".join(json.dumps(row) + "\r\n" for row in rows).encode(),
    "json": lambda rows: json.dumps(rows, indent=2).encode(),
    "parquet": parquet,
}
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def run(source: Path, **options: object) -> Imported:
    reader = open_format("table", {name: str(value) for name, value in options.items()})
    return import_source("table", reader, source, source.parent / "out", force=True)


def loaded(done: Imported) -> TaskData:
    return load_task(Task.from_folder(done.folder))


@pytest.mark.parametrize("end", PACK)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_is_the_same_task(source: Path, kind: str, end: str) -> None:
    train = [{**QUESTIONS[0], "id": 9, "question": "When was it?"}]
    for name, rows in (("corpus", CORPUS), ("questions", QUESTIONS), ("train", train)):
        (source / f"{name}.{kind}{end}").write_bytes(PACK[end](KINDS[kind](rows)))
    done = run(source, separator="|")
    data = loaded(done)
    assert [(p.id, p.title, p.text) for p in data.corpus] == [
        ("1", "Moon", 'The "Eagle"\nlanded in 1969, on the Moon.'), ("2", "", "où | là"),
    ]  # fmt: skip
    assert [(q.id, q.text, q.golden_answers, q.gold_doc_ids) for q in data.questions] == [
        ("7", "When did it land?", ("1969", "in 1969"), ("1",)),
        ("8", "Where?", ("on the Moon",), ("1", "2")),
    ]
    assert [(q.id, q.gold_doc_ids) for q in data.train] == [("9", ("1",))]
    assert not done.tally.dropped
    assert not done.tally.changed
    assert data.card.gold == "all"


def test_gold_passages_may_be_alternatives(source: Path) -> None:
    (source / "q.csv").write_text("question,answer,context\na?,x,y\n")
    assert loaded(run(source / "q.csv", alternatives="yes")).card.gold == "any"


def test_columns_of_any_name_are_named_or_known(source: Path) -> None:
    (source / "corpus.csv").write_text("DocID,Überschrift,Body,n\na,T,x,1\n", encoding="utf-8")
    (source / "questions.csv").write_text("Frage;Antwort;qid\nWer?;ich;q1\n", encoding="utf-8")
    done = run(source, question="Frage", answers="Antwort", title="Überschrift")
    (passage,), (question,) = loaded(done).corpus, loaded(done).questions
    assert (passage.id, passage.title, passage.text) == ("a", "T", "x")
    assert (question.id, question.text, question.golden_answers) == ("q1", "Wer?", ("ich",))
    assert done.tally.notes[:2] == [
        "corpus.csv: passage_id=DocID, title=Überschrift, text=Body",
        "questions.csv: id=qid, question=Frage, answers=Antwort",
    ]


def test_questions_with_their_contexts_need_no_corpus(source: Path) -> None:
    rows = [
        {"question": "a?", "answer": "x", "context": "[x] and y | z", "title": "T"},
        {"question": "b?", "answer": "y", "context": "[x] and y | z", "title": "T"},
        {"question": "c?", "answer": "x", "contexts": None, "context": "other", "title": None},
        {"question": "d?", "answer": "", "context": "a distractor"},
    ]
    path = source / "faq.json"
    path.write_text(json.dumps(rows))
    done = run(path, separator="|")
    data = loaded(done)
    assert [passage.text for passage in data.corpus] == ["[x] and y | z", "other", "a distractor"]
    first, second, third = data.questions
    assert first.gold_doc_ids == second.gold_doc_ids == (data.corpus[0].id,)
    assert third.gold_doc_ids == (data.corpus[1].id,)
    assert [question.id for question in data.questions] == ["1", "2", "3"]
    assert done.tally.dropped["questions without an answer"].first == f"{path}[3]"


@pytest.mark.parametrize(
    ("cell", "answers", "changes"),
    [
        ("one", ("one",), []),
        (["one", None, " ", "two"], ("one", "two"), []),
        (1969, ("1969",), []),
        (3.0, ("3.0",), []),
        ([2.5, "two and a half"], ("2.5", "two and a half"), []),
        (True, ("yes",), ["true or false, read as yes or no"]),
        ([False], ("no",), ["true or false, read as yes or no"]),
        ('["a", "b|c"]', ("a", "b|c"), ["lists written out as text, read as lists"]),
        ("['it''s', \"b\"]", ("its", "b"), ["lists written out as text, read as lists"]),
        ("[sic]", ("[sic]",), []),
        ("[[1]]", ("[[1]]",), []),
        ({"text": ["a", "b"], "answer_start": [1, 2]}, ("a", "b"), []),
        ({"value": "a", "aliases": ["b"], "type": "x"}, ("a", "b"), []),
    ],
)
def test_answers_in_every_spelling(
    source: Path, cell: object, answers: tuple[str, ...], changes: list[str]
) -> None:
    path = source / "q.jsonl"
    path.write_text(json.dumps({"question": "a?", "answer": cell, "context": "x"}))
    done = run(path)
    assert loaded(done).questions[0].golden_answers == answers
    assert list(done.tally.changed) == changes


def test_dates_and_numbers_with_holes_of_parquet(source: Path) -> None:
    from datetime import date

    path = source / "q.parquet"
    rows = [
        {"id": 1.0, "question": "a?", "answer": date(1969, 7, 20), "context": "x"},
        {"id": 2.0, "question": "b?", "answer": None, "context": None},
        {"id": None, "question": "c?", "answer": date(1970, 1, 1), "context": "y"},
    ]
    path.write_bytes(parquet(rows))
    done = run(path)
    (question,) = loaded(done).questions
    assert (question.id, question.golden_answers) == ("1", ("1969-07-20",))
    assert {why: count.number for why, count in done.tally.dropped.items()} == {
        "questions without an answer": 1, "questions without an id": 1,
    }  # fmt: skip
    assert done.tally.changed["ids such as 7.0, read as 7"].number == 2


def test_parquet_is_never_held_whole(source: Path) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    texts = pa.array([token_hex(1_000) for _ in range(20_000)])
    write_table(pa.table({"text": texts}), source / "corpus.parquet")
    del texts
    before, most = pa.total_allocated_bytes(), 0
    for _ in parquet_rows(source / "corpus.parquet"):
        most = max(most, pa.total_allocated_bytes() - before)
    assert 0 < most < 15_000_000  # of 40 MB


def test_flashrags_own_files_keep_titles_gold_and_metadata(source: Path) -> None:
    (source / "corpus.jsonl").write_text('{"id": "d1", "contents": "T\\none\\ntwo"}')
    row = {"id": "q", "question": "a?", "golden_answers": ["x"]}
    row |= {"metadata": {"hops": 2, "gold_doc_ids": ["d1"]}}
    (source / "questions.jsonl").write_text(json.dumps(row))
    data = loaded(run(source))
    assert (data.corpus[0].title, data.corpus[0].text) == ("T", "one\ntwo")
    assert data.questions[0].gold_doc_ids == ("d1",)
    assert data.questions[0].metadata["hops"] == 2


def test_rows_inside_an_object_and_quotes_that_are_text(source: Path) -> None:
    (source / "corpus.tsv").write_text('id\ttext\na\t"The Wall" is\n')
    (source / "questions.json").write_text('{"v": 1, "rows": [{"query": "a?", "answer": "x"}]}')
    data = loaded(run(source, under="rows", quotes="no"))
    assert data.corpus[0].text == '"The Wall" is'
    assert data.questions[0].text == "a?"


def test_a_corpus_and_train_questions_may_lie_elsewhere(source: Path, tmp_path: Path) -> None:
    files = {"asked.csv": "question,answer,gold\na?,x,1\n", "shown.csv": "question,answer\nb?,y\n"}
    files["passages.csv"] = "text\nx\n"
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    corpus, train = tmp_path / "passages.csv", tmp_path / "shown.csv"
    done = run(tmp_path / "asked.csv", corpus=corpus, train=train)
    data = loaded(done)
    assert (len(data.corpus), len(data.questions), len(data.train)) == (1, 1, 1)
    assert data.questions[0].gold_doc_ids == ("1",)
    record = json.loads((done.folder / "import.json").read_text())
    assert sorted(record["files"]) == sorted(files)
    assert record["options"] == {"corpus": "passages.csv", "train": "shown.csv"}


def test_gold_that_comes_late_is_counted(source: Path) -> None:
    rows: list[Row] = [{"question": f"{n}?", "answer": "x", "context": "y"} for n in range(101)]
    rows[100]["gold"] = ["c-1"]
    path = source / "q.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    late = "gold ids in a column that the first 100 rows lack (give it to the first, as null)"
    assert run(path).tally.dropped[late].first == f"{path}:101"
    rows[0]["gold"] = None
    path.write_text("\n".join(map(json.dumps, rows)))
    assert list(run(path).tally.dropped) == ["gold ids that no passage has"]


def test_two_files_of_one_name_are_both_in_the_record(source: Path, tmp_path: Path) -> None:
    (source / "asked.csv").write_text("question,answer,context\na?,x,y\n")
    (tmp_path / "asked.csv").write_text("question,answer,context\nb?,y,z\n")
    done = run(source / "asked.csv", train=tmp_path / "asked.csv")
    files = json.loads((done.folder / "import.json").read_text())["files"]
    assert sorted(files) == ["asked.csv", "other/asked.csv"]
    assert files["asked.csv"] == sha256((source / "asked.csv").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ({"questions.csv": "q,answer\na?,x\n"}, {},
         "questions.csv: which column holds the question? name it, -o question=COLUMN (columns: q"),
        ({"questions.csv": "question,answer\na?,x\n"}, {},
         "which column holds the context? name it, -o context=COLUMN, or give a file of passages"),
        ({"questions.csv": "question,answer\na?,x\n"}, {"answers": "anser"},
         "questions.csv: has no column 'anser'; did you mean 'answer'? (known: answer, question)"),
        ({"corpus.csv": "id,text\n1,x\n"}, {}, "holds no file questions.csv"),
        ({"questions.csv": "x", "questions.tsv.gz": "x"}, {}, "which of both? leave one of them"),
        ({"questions.csv": ""}, {}, "questions.csv: which column holds the question?"),
        ({"questions.jsonl": '{"question": ["a"], "answer": "x", "context": "y"}'}, {},
         "questions.jsonl:1: 'question' holds a list; expected a text"),
        ({"questions.jsonl": '{"question": "a", "answer": {"b": 1}, "context": "y"}'}, {},
         "'answer' holds an object of b; expected a text or a list of texts"),
        ({"questions.parquet": "PAR1 and no more"}, {},
         "questions.parquet: cannot read it as Parquet ("),
        ({"questions.json": '{\n "rows": [{"question": "a?", "answer": "x"}]\n}'}, {},
         "questions.json: is one JSON object, not one a line; name its list of rows: -o under=KEY"),
        ({"questions.csv": "question,answer\na?,x\n"}, {"corpus": "gone"}, "gone: file not found"),
        ({"questions.csv": "question,answer\na?,x\n"}, {"corpus": "c.xlsx"},
         "c.xlsx: is a spreadsheet; save the sheet as CSV (UTF-8)"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_line(
    source: Path, files: dict[str, str], options: dict[str, str], message: str
) -> None:
    for name, text in files.items():
        (source / name).write_text(text)
    with pytest.raises(InputError) as caught:
        run(source, **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (source.parent / "out").exists()


def test_a_wrong_option_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="'table' has no option 'qestion'; did you mean 'questio"):
        open_format("table", {"qestion": "x"})
    with pytest.raises(ConfigError, match="option 'quotes': Input should be a valid boolean"):
        open_format("table", {"quotes": "x"})
    with pytest.raises(ConfigError, match="unknown format 'tabel'; did you mean 'table'?"):
        open_format("tabel", {})
