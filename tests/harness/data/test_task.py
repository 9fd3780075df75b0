"""Loading a task: from the sample, a local folder, the hub or a user's own files."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest

from harness.data.card import Task, custom_task
from harness.data.task import load_task
from harness.errors import InputError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CARD = """
name: toy
title: Toy
hub:
  repo: someone/datasets
  folder: toyqa
  splits: {train: train.jsonl, dev: dev.jsonl}
"""
QUESTION = {"id": "q1", "question": "who?", "golden_answers": ["me"]}
PASSAGES = [{"id": f"d{n}", "contents": f"T\n{text}"} for n, text in ((1, "one"), (2, "two"))]


def write(path: Path, *rows: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def question(number: int, **fields) -> dict:
    return {**QUESTION, "id": f"q{number}", "question": f"who is {number}?", **fields}


@pytest.fixture
def toy(tmp_path) -> Task:
    folder = tmp_path / "toy"
    write(folder / "sample/questions.jsonl", *(question(i) for i in range(3)))
    write(folder / "sample/train.jsonl", question(9))
    write(folder / "sample/corpus.jsonl", *PASSAGES)
    (folder / "task.yaml").write_text(CARD, encoding="utf-8")
    return Task.from_folder(folder)


@pytest.fixture
def layout(tmp_path) -> Path:
    root = tmp_path / "data"
    write(root / "toyqa/dev.jsonl", question(1), question(2))
    write(root / "toyqa/train.jsonl", question(3))
    write(root / "corpus.jsonl", *PASSAGES)
    return root


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"golden_answers": []}, "'golden_answers' is empty; expected at least one string"),
        ({"golden_answers": "me"}, "'golden_answers' is a string; expected a list of strings"),
        ({"golden_answers": [1]}, "'golden_answers[0]' is a number; put it in quotes: \"1\""),
        ({"golden_answers": ["a", ""]}, "'golden_answers[1]' is empty; expected at least one"),
        ({"golden_answers": None}, "'golden_answers' is null; expected a list of strings"),
        ({"question": ""}, "'question' is empty; expected at least one visible character"),
        ({"question": {"t": 1}}, "'question' is an object; expected a string"),
        ({"id": 1.7}, "'id' is a number; put it in quotes: \"1.7\""),
        ({"id": "q1"}, "'id' 'q1' was already used on line 1; give each question its own id"),
        ({"metadata": [1]}, "'metadata' is not an object; expected"),
        ({"metadata": {"gold_doc_ids": "d1"}}, "'gold_doc_ids' is a string; expected a list"),
        ({"metadata": {"gold_doc_ids": ["d1", "d9"]}}, "'gold_doc_ids' names 'd9', which is not"),
        ({"gold_doc_ids": ["d9"]}, "'gold_doc_ids' names 'd9', which is not in"),
        ({"gold_doc_ids": [3]}, "'gold_doc_ids' names '3', which is not in"),
        ({"gold_doc_ids": [3.5]}, "'gold_doc_ids[0]' is a number; put it in quotes: \"3.5\""),
        ({"gold_doc_ids": [True]}, "'gold_doc_ids[0]' is true or false; expected a string"),
    ],
)
def test_bad_questions_get_one_line_with_file_line_field_and_fix(tmp_path, row, message):
    questions = write(tmp_path / "nq/questions.jsonl", QUESTION, {**QUESTION, "id": "q2", **row})
    corpus = write(tmp_path / "corpus.jsonl", *PASSAGES)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError) as caught:
        load_task(custom_task("mine"), questions=questions, corpus=corpus)
    assert str(caught.value).startswith(f"{questions}:2: {message}")
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_missing_fields_list_what_the_row_has(tmp_path):
    questions = write(tmp_path / "q.jsonl", {"id": "q1", "question": "?", "answers": ["x"]})
    with pytest.raises(InputError) as caught:
        load_task(custom_task("mine"), questions=questions, corpus=tmp_path)
    assert str(caught.value) == (
        f"{questions}:1: 'golden_answers' is missing (this row has: answers, id, question); "
        "expected a list of strings"
    )


def test_ids_may_be_whole_numbers_and_files_may_be_packed(tmp_path):
    loaded = []
    for kind, pack in ((str, bytes), (int, gzip.compress)):
        passages = [{"id": kind(n), "contents": "T\none"} for n in (1, 2)]
        asked = [question(n, id=kind(n), metadata={"gold_doc_ids": [kind(n)]}) for n in (1, 2)]
        shown = question(3, id=kind(3), gold_doc_ids=[kind(2)])
        files = {"questions": asked, "train": [shown], "corpus": passages}
        paths = {n: write(tmp_path / kind.__name__ / n, *rows) for n, rows in files.items()}
        for path in paths.values():
            path.write_bytes(pack(path.read_bytes()))
        loaded.append(load_task(custom_task("mine"), **paths))
    strings, numbers = loaded
    assert numbers.questions_fingerprint == strings.questions_fingerprint
    assert numbers.train_fingerprint == strings.train_fingerprint
    assert numbers.corpus_fingerprint == strings.corpus_fingerprint
    assert numbers.questions[0].id == "1"
    assert numbers.questions[0].gold_doc_ids == ("1",)


def test_own_files_need_no_task_of_the_table(tmp_path):
    rows = [question(1, metadata={"gold_doc_ids": ["d1", "d1"], "hops": 1}), question(2)]
    data = load_task(
        custom_task("mine"),
        questions=write(tmp_path / "q.jsonl", *rows),
        corpus=write(tmp_path / "c.jsonl", *PASSAGES),
    )
    assert (data.name, data.split, data.train) == ("mine", "custom", ())
    assert data.questions[0].gold_doc_ids == ("d1",)
    assert data.questions[0].metadata["hops"] == 1
    assert data.questions[1].gold_doc_ids == ()
    assert data.provenance["source"] == "files"
    with pytest.raises(InputError, match="task name 'My Task' cannot become a folder"):
        custom_task("My Task")


def test_fingerprints_ignore_form_and_notice_content(tmp_path):
    corpus = write(tmp_path / "c.jsonl", *PASSAGES)

    def fingerprint(name, content, **options):
        (tmp_path / name).write_bytes(content)
        data = load_task(custom_task("m"), questions=tmp_path / name, corpus=corpus, **options)
        return data.questions_fingerprint

    row = question(1, question="où?", gold_doc_ids=["d1"], metadata={"a": 1})
    clean = json.dumps(row, ensure_ascii=False).encode() + b"\n"
    swapped = dict(reversed(row.items())) | {"metadata": {"b": 2}}
    expected = fingerprint("clean", clean)
    assert (
        fingerprint("form", b"\xef\xbb\xbf" + json.dumps(swapped).encode() + b"\r\n\r\n")
        == expected
    )
    for change in ({"question": "ou?"}, {"golden_answers": ["I"]}, {"gold_doc_ids": ["d2"]}):
        assert fingerprint("changed", json.dumps(row | change).encode()) != expected
    two = clean + json.dumps(question(2)).encode()
    assert fingerprint("two", two) != expected
    assert fingerprint("limited", two, limit=1) in {expected, fingerprint("2", two[len(clean) :])}


def test_limit_is_a_fixed_random_sample_that_grows_and_still_checks_all(toy):
    rows = [question(n) for n in range(100, 140)]
    write(toy.folder / "sample/questions.jsonl", *rows)
    ids = {n: [q.id for q in load_task(toy, limit=n, verify=False).questions] for n in (5, 10, 99)}
    assert [len(kept) for kept in ids.values()] == [5, 10, 40]
    assert set(ids[5]) < set(ids[10])
    assert ids[10] == [q for q in ids[99] if q in ids[10]], "file order is kept"
    assert ids[10] != ids[99][:10]
    with pytest.raises(InputError, match="limit is 0; expected"):
        load_task(toy, limit=0)
    write(toy.folder / "sample/questions.jsonl", question(1), {"id": "q2"})
    with pytest.raises(InputError, match="2: 'question' is missing"):
        load_task(toy, limit=1, verify=False)


def test_a_local_folder_and_the_hub_give_the_same_data(toy, layout, tmp_path, monkeypatch):
    asked = []

    def download(repo, name, *, repo_type, revision):
        asked.append((repo, name, repo_type, revision))
        target = tmp_path / "hub/snapshots" / COMMIT / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return shutil.copy(layout / name, target)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    local = load_task(toy, split="dev", data_dir=layout)
    hub = load_task(toy, split="dev", corpus=layout / "corpus.jsonl", revision="v1")
    assert local.questions == hub.questions
    assert local.train == hub.train
    assert len(local.train) == 1
    assert local.questions_fingerprint == hub.questions_fingerprint
    assert local.corpus_fingerprint == hub.corpus_fingerprint
    assert asked == [
        ("someone/datasets", "toyqa/dev.jsonl", "dataset", "v1"),
        ("someone/datasets", "toyqa/train.jsonl", "dataset", COMMIT),
    ]
    assert hub.provenance["revision"] == COMMIT
    assert hub.provenance["repo"] == "someone/datasets"
    assert load_task(toy, split="train", data_dir=layout).train == ()


def test_hub_corpora_are_downloaded_unless_packed(toy, layout, monkeypatch):
    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda repo, name, **_: str(layout / name)
    )

    def with_corpus(name):
        source = toy.card.hub.model_copy(update={"corpus": name})
        return Task(toy.card.model_copy(update={"hub": source}))

    data = load_task(with_corpus("corpus.jsonl"), split="train")
    assert len(data.corpus) == 2
    assert data.provenance["revision"] == "unresolved"
    with pytest.raises(InputError, match=r"run 'hf download someone/datasets a/wiki\.zip --repo"):
        load_task(with_corpus("a/wiki.zip"), split="dev")
    with pytest.raises(InputError, match="split 'dev' of task 'toy' has no corpus; give one: --c"):
        load_task(toy, split="dev")


@pytest.mark.parametrize("error", [ConnectionError("offline"), ValueError("odd\nreply")])
def test_an_unreachable_hub_says_how_to_use_local_files(toy, layout, monkeypatch, error):
    def download(*_args, **_options):
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(InputError) as caught:
        load_task(toy, split="dev", corpus=layout / "corpus.jsonl")
    assert str(caught.value).startswith(
        f"cannot get someone/datasets/toyqa/dev.jsonl from the hub ({type(error).__name__}: "
    )
    assert str(caught.value).endswith("--questions FILE --corpus FILE, or --data-dir FOLDER")


def test_the_corpus_beside_the_split_goes_first(toy, layout):
    write(layout / "toyqa/corpus.jsonl", PASSAGES[0])
    assert len(load_task(toy, split="dev", data_dir=layout).corpus) == 1
    (layout / "toyqa/train.jsonl").unlink()
    assert load_task(toy, split="dev", data_dir=layout).train == ()


def test_given_files_replace_only_their_part(toy, tmp_path):
    train = write(tmp_path / "t.jsonl", question(7), question(8))
    data = load_task(toy, train=train, corpus=write(tmp_path / "c.jsonl", PASSAGES[0]))
    assert (len(data.questions), len(data.train), len(data.corpus)) == (3, 2, 1)
    assert data.split == "sample"


def test_a_question_that_is_asked_may_not_be_shown(toy, tmp_path):
    train = write(tmp_path / "t.jsonl", question(7), question(1))
    data = load_task(toy, train=train)
    assert [q.id for q in data.train] == ["q7"]
    assert data.provenance["train_left_out"].endswith(f"the first 'q1' ({train}:2)")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "tset"}, "task 'toy' has no split 'tset'"),
        ({"split": "de"}, "did you mean 'dev'"),
        ({"split": "../dev"}, "split name '../dev' cannot become a folder"),
        ({"split": "custom"}, "give it with --questions FILE"),
        ({"split": "test", "data_dir": "data"}, "test.jsonl: file not found; a data folder holds"),
        ({"split": "dev", "data_dir": "gone"}, "is not a folder; give the folder"),
        ({"data_dir": "data"}, "split 'sample' reads no data folder"),
        ({"revision": "main"}, "a revision is a commit on the hub; leave it out"),
        ({"split": "dev", "data_dir": "data", "revision": "main"}, "leave it out for local files"),
        ({"questions": "q.jsonl"}, "q.jsonl: needs the corpus it asks about; give it: --corpus"),
        ({"questions": "q.jsonl", "split": "dev"}, "a questions file replaces the split"),
    ],
)
def test_options_that_contradict_each_other(toy, layout, monkeypatch, options, message):
    monkeypatch.chdir(layout.parent)
    with pytest.raises(InputError) as caught:
        load_task(toy, **options)
    assert message in str(caught.value)


def test_a_task_without_sample_says_so(tmp_path):
    with pytest.raises(InputError, match="task 'mine' ships no sample; name another split or use"):
        load_task(custom_task("mine"))


def test_a_changed_shipped_file_is_noticed(toy):
    path = toy.folder / "sample/train.jsonl"
    (toy.folder / "task.yaml").write_text(
        CARD + f"checksums: {{sample/train.jsonl: {'f' * 64}}}", encoding="utf-8"
    )
    task = Task.from_folder(toy.folder)
    with pytest.raises(InputError, match=r"train\.jsonl: the shipped file changed \(sha256"):
        load_task(task)
    assert len(load_task(task, verify=False).train) == 1
    path.unlink()
    assert load_task(task, verify=False).train == ()
    with pytest.raises(InputError, match=r"train\.jsonl: file not found; restore"):
        load_task(task)


def test_an_empty_question_file(tmp_path):
    empty = write(tmp_path / "q.jsonl")
    with pytest.raises(InputError, match=r"q\.jsonl: holds no questions; expected one JSON obj"):
        load_task(custom_task("mine"), questions=empty, corpus=write(tmp_path / "c", *PASSAGES))
