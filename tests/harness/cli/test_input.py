"""Bad input: one line that names file, line, field and fix, status 2, nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness.conftest import CommandLine

QUESTION = {"id": "q9", "question": "Who?", "golden_answers": ["me"]}
PASSAGE = {"id": "d99", "contents": "Title\ntext"}


@pytest.fixture
def refused(cli: CommandLine, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The error line of a run on the small task; nothing may be written anywhere."""

    def call(*arguments: object, method: str = "bm25", task: str = "toy") -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.dont_write_bytecode", True)  # of a plugin that is imported
        before = sorted(tmp_path.rglob("*"))
        paths = [x for kind in ("questions", "corpus", "train")
                 for x in (f"--{kind}", files / f"{kind}.jsonl")]  # fmt: skip
        line = cli.refuses("run", "--method", method, "--task", task, *paths, *arguments)
        assert sorted(tmp_path.rglob("*")) == before
        return line

    return call


def damage(path: Path, line: int, content: bytes) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[: line - 1], content + b"\n", *lines[line:]]))


def with_field(row: dict, **fields: object) -> bytes:
    return json.dumps({k: v for k, v in {**row, **fields}.items() if v != "gone"}).encode()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"id": ', "not valid JSON"),
        (b"[1]", "expected an object"),
        (b'{"id": "q\xff"}', "not UTF-8"),
        (with_field(QUESTION, question="gone"), "'question' is missing"),
        (with_field(QUESTION, question=""), "'question' is empty"),
        (with_field(QUESTION, question=None), "'question' is null"),
        (with_field(QUESTION, id=9.5), "'id' is a number; put it in quotes"),
        (with_field(QUESTION, golden_answers="me"), "'golden_answers' is a string; expected a li"),
        (with_field(QUESTION, golden_answers=[]), "'golden_answers' is empty"),
        (with_field(QUESTION, id="q3"), "'id' 'q3' was already used on line 4"),
        (with_field(QUESTION, gold_doc_ids=["d999"]), "'gold_doc_ids' names 'd999', which is not"),
        (with_field(QUESTION, metadata=[1]), "'metadata' is not an object"),
    ],
)
def test_a_wrong_question(refused, files: Path, content: bytes, problem: str) -> None:
    damage(files / "questions.jsonl", 10, content)
    line = refused()
    assert f"{files / 'questions.jsonl'}:10: " in line
    assert problem in line


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "not valid JSON"),
        (with_field(PASSAGE, contents="gone"), "'contents' is missing"),
        (with_field(PASSAGE, id="d2"), "'id' 'd2' was already used on line 3"),
    ],
)
def test_a_wrong_passage(refused, files: Path, content: bytes, problem: str) -> None:
    damage(files / "corpus.jsonl", 12, content)
    line = refused()
    assert f"{files / 'corpus.jsonl'}:12: " in line
    assert problem in line


@pytest.mark.parametrize("kind", ["questions", "corpus", "train"])
@pytest.mark.parametrize("change", ["missing", "empty", "folder"])
def test_a_file_without_content(refused, files: Path, kind: str, change: str) -> None:
    path = files / f"{kind}.jsonl"
    path.unlink()
    if change == "empty":
        path.write_text("")
    if change == "folder":
        path.mkdir()
    problem = {"missing": "file not found", "empty": "holds no", "folder": "is a folder"}[change]
    assert f"{path}: {problem}" in refused()


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_byte_order_marks_and_other_line_ends_are_accepted(cli, files, tmp_path, end) -> None:
    for path in files.iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", end))
    done = cli(
        "run", "--method", "no-retrieval", "--task", "toy", "-p", "shots=0", "--questions",
        files / "questions.jsonl", "--corpus", files / "corpus.jsonl", "--out", tmp_path / "runs",
        "--latency-queries", "0",
    )  # fmt: skip
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["-p", "k=0"], "method 'bm25': parameter 'k' = 0: Input should be greater than or equal"),
        (["-p", "k=abc"], "method 'bm25': parameter 'k' = 'abc': Input should be a valid integer"),
        (["-p", "kk=3"], "method 'bm25' has no parameter 'kk'; did you mean 'k'?"),
        (["-p", "k"], "-p k: write it as NAME=VALUE"),
        (["-p", "=3"], "-p =3: write it as NAME=VALUE"),
        (["-p", "k=[1"], "-p k=[1: the value is not readable"),
        (["-p", "k1=.inf"], "parameter 'k1' = inf: Input should be a finite number"),
        (["-p", "b=.nan"], "method 'bm25': parameter 'b' = nan"),
        (["--limit", "0"], "'limit' = 0: Input should be greater than or equal to 1"),
        (["--limit", "many"], "Invalid value for '--limit'"),
        (["--seed", "-1"], "'seeds.0' = -1: Input should be greater than or equal to 0"),
        (["--latency-queries", "-1"], "'latency.queries' = -1"),
        (["--batch-size", "0"], "Invalid value for '--batch-size'"),
        (["--workers", "0"], "Invalid value for '--workers'"),
        (["--model", "smollm2"], "unknown model 'smollm2'"),
        (["--model", "hf:"], "names nothing; write one of"),
        (["--split", "test"], "a questions file replaces the split"),
        (["--plugin", "none.py"], "plugin file 'none.py' does not exist"),
        (["--bogus"], "No such option: --bogus"),
        (["quickstart"], "a board names its own methods, tasks and files"),
    ],
)
def test_a_wrong_option(refused, arguments: list[str], problem: str) -> None:
    assert problem in refused(*arguments)


@pytest.mark.parametrize("task", ["../toy", "/toy", "a/b", "..", "Toy", ""])
def test_a_task_name_that_leaves_the_folder(refused, task: str) -> None:
    line = refused(task=task)
    assert "cannot become a folder" in line or "unknown task" in line


def test_names_that_nothing_has(refused, cli: CommandLine) -> None:
    assert "unknown method 'bm52'; did you mean 'bm25'?" in refused(method="bm52")
    assert "unknown method '../bm25'" in refused(method="../bm25")
    wrong = cli.refuses("run", "--method", "bm25", "--task", "nqq")
    assert "unknown task 'nqq'; did you mean 'nq'?" in wrong
    wrong = cli.refuses("run", "--method", "standard-rag", "--task", "nq", "-p", "retriever=e5")
    assert "no retriever 'e5'" in wrong
    assert "unknown board 'quikstart'; did you mean" in cli.refuses("run", "quikstart")
    assert "name a board, or give --method and --task" in cli.refuses("run")
    assert "name a board, or give --method and --task" in cli.refuses("run", "--method", "bm25")
    assert "No such command 'runn'" in cli.refuses("runn")
    assert "Missing argument" in cli.refuses("describe")
    assert "no such format: 'markdwn'; did you mean" in cli.refuses(
        "leaderboard", "runs", "--format", "markdwn"
    )
    assert "no finished run" in cli.refuses("leaderboard", "nowhere")
    assert "no such folder" in cli.refuses("score", "nowhere")


def test_a_place_that_cannot_be_written(refused, cli, files: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "file/runs: cannot write there (Not a directory)" in refused("--out", "file/runs")
    assert "file: cannot write there (Not a directory)" in refused("--out", "file")
    run = ("run", "--method", "no-retrieval", "--task", "nq", "--limit", 1, "--out", "runs")
    assert cli(*run, "--latency-queries", 0).code == 0
    for target in ("file/board.md", "runs"):
        assert f"{target}: cannot write there" in cli.refuses(
            "leaderboard", "runs", "--output", target
        )


def test_a_plugin_that_is_broken(refused, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import json\nMETHODS = {'a': json.Nothing}\n")
    line = refused("--plugin", "mine.py", method="a")
    assert "plugin file 'mine.py' cannot be imported: AttributeError" in line
    assert "mine.py:2)" in line


def test_boards_that_are_broken(cli: CommandLine, tmp_path: Path) -> None:
    board = tmp_path / "board.yaml"
    for text, problem in [
        ("- a\n- b\n", "expected keys such as"),
        ("tasks: [", "not readable as YAML"),
        ("name: b\ntasks: [nq]\nmethod: [bm25]\n", "unknown key 'method'; did you mean"),
        ("name: b\ntasks: [nq]\nmethods: [bm25]\nlimit: 0\n", "'limit' = 0"),
        ("name: b\ntasks: [nq]\nmethods: [../bm25]\n", "unknown method '../bm25'"),
    ]:
        board.write_text(text)
        assert problem in cli.refuses("run", board)
    assert "no such board file" in cli.refuses("run", tmp_path / "none.yaml")
