"""The command ``import``: one command from people's files to a task that runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import harness.cli.import_
import harness.formats.importing
from harness.cli.common import task_place
from harness.formats import FORMATS
from tests.harness.conftest import CommandLine


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two documents and a table of questions, in the folder that the command is run in."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "refunds.md").write_text("# Refunds\n\nWe pay back within 14 days.\n")
    (folder / "logo.png").write_bytes(b"\x89PNG")
    (tmp_path / "faq.csv").write_text(
        "question,answer,gold\nHow long?,14 days,refunds.md\nWhy?,,\n"
    )
    return folder


def test_one_command_makes_a_task_that_runs(cli: CommandLine, docs: Path) -> None:
    done = cli("import", "texts", "docs", "-o", "questions=faq.csv", "--out", "our docs")
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "faq.csv: gold=gold, question=question, answers=answer; ids: the rows' numbers",
        "left out: files that are neither .txt nor .md: 1, the first docs/logo.png",
        "left out: questions without an answer: 1, the first faq.csv:3",
        "our docs: task 'our-docs' with 1 passage, 1 question",
        "licence and citations are empty: fill them in, in our docs/task.yaml",
        "next: memory-harness run --task 'our docs' --method bm25 --out runs/our-docs",
    ]
    assert done.err == ""
    ran = cli("run", "--task", "our docs", "--method", "bm25", "--out", "runs", "-p", "shots=0")
    assert ran.code == 0, ran.err
    board = cli("leaderboard", "runs", "--format", "csv")
    assert "our-docs" in board.out


def test_a_large_source_shows_how_much_of_it_was_read(
    cli: CommandLine, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness.cli.import_, "_MB", 1_000)
    (docs / "long.txt").write_text("word " * 3_000)
    done = cli("import", "texts", "docs", "-o", "questions=faq.csv", "--out", "out")
    assert done.code == 0, done.err
    assert done.err.startswith("docs, MB: 15/15 in ")


def test_an_interrupted_import_leaves_nothing_and_says_so(
    cli: CommandLine, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(harness.formats.importing, "_write_card", interrupt)
    done = cli("import", "texts", "docs", "-o", "questions=faq.csv", "--out", "out")
    assert (done.code, done.out, done.err) == (130, "", "stopped; nothing was written\n")
    assert sorted(path.name for path in docs.parent.iterdir()) == ["docs", "faq.csv"]


def test_names_that_are_no_utf8_are_spelt_out(cli: CommandLine, docs: Path) -> None:
    (docs / os.fsdecode(b"k\xf6ln.txt")).write_text("x")
    (docs / os.fsdecode(b"m\xfcll.pdf")).write_text("x")
    done = cli("import", "texts", "docs", "-o", "questions=faq.csv", "--out", "out")
    assert done.code == 0, done.err
    assert "neither .txt nor .md: 2, the first docs/logo.png" in done.out
    assert '"id": "k\\\\udcf6ln.txt#1"' in Path("out/sample/corpus.jsonl").read_text()
    assert "changed" not in done.out


def test_the_next_command_means_the_folder_and_not_a_known_task(
    cli: CommandLine, docs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = cli("import", "texts", "docs", "-o", "questions=faq.csv", "--out", "nq")
    assert "next: memory-harness run --task ./nq --method bm25" in done.out
    assert task_place("nq") == "nq"
    assert capsys.readouterr().err == "task 'nq' is the known one; for the folder write ./nq\n"
    assert (task_place("./nq"), task_place("docs")) == ("./nq", "docs")


def test_a_place_that_may_not_be_looked_at_is_one_line(
    cli: CommandLine, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "secret/out")

    # As any look into a folder of somebody else's does; a test may be root.
    monkeypatch.setattr(harness.formats.importing, "_check_free", refuse)
    error = cli.refuses("import", "texts", "docs", "-o", "questions=faq.csv", "--out", "out")
    assert error == "error: secret/out: Permission denied; check who may read it"


def test_wrong_calls_are_one_line(cli: CommandLine, docs: Path) -> None:
    to = ("--out", "out")
    assert "unknown format 'text'; did you mean 'texts'?" in cli.refuses("import", "text", "x", *to)
    assert "-o words: expected name=value" in cli.refuses(
        "import", "texts", "x", *to, "-o", "words"
    )
    assert "x: not found; give a file or a folder" in cli.refuses("import", "texts", "x", *to)
    assert "--out" in cli.refuses("import", "texts", "docs")


def test_help_and_list_show_every_format_with_its_source(cli: CommandLine) -> None:
    shown, listed = cli("import", "--help").out, cli("list", "formats").out
    for name in FORMATS:
        assert f"\n  {name} " in shown
        assert f"{name} " in listed
        assert "SOURCE: " in cli("describe", name).out
    assert listed.count("SOURCE: ") == len(FORMATS)
