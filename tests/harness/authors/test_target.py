"""What ``check-method`` checks, and how code that cannot even be imported is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.conftest import CommandLine

# The whole of a method: card, one search, one call.
SHORT = """
from harness import Method, MethodCard, Prediction

class Short(Method):
    card = MethodCard("Short", "Searches once and reads what was found.")
    retriever_name = "bm25"

    async def answer(self, query):
        passages = await self.retriever.search(query.text, k=3)
        reply = await self.llm.generate(self.prompts.read(query, passages))
        return Prediction(reply.first_line, passages)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "short.py"
    path.write_text(SHORT)
    return path


def test_a_method_of_fifteen_lines_passes(cli: CommandLine, file: Path) -> None:
    assert len(SHORT.strip().splitlines()) <= 15
    done = cli("check-method", file)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "Short: 34 rules kept, 0 broken"
    assert "kept   importing it does nothing else" in done.out


def test_broken_rules_are_told_with_place_and_fix(cli: CommandLine, file: Path) -> None:
    text = SHORT.replace("= await self.llm", "= self.llm").replace('"Short", ', '"", ')
    file.write_text(f"print('loading')\n{text}")
    done = cli("check-method", f"{file}:Short")
    assert done.code == 1 and "Traceback" not in done.out + done.err
    assert done.out.startswith(
        "BROKEN a method has a card\n       card.title is empty\n       fix:"
    )
    assert f"({file}:12)\n       fix: write 'await' before the call" in done.out
    assert (
        "BROKEN importing it does nothing else\n       while it is imported it printed" in done.out
    )
    assert "not checked: passages come from the corpus, since another is broken: every" in done.out
    assert done.out.splitlines()[-1] == "Short: 21 rules kept, 3 broken, 10 not checked"


def test_answers_that_depend_on_the_order_of_a_set_are_caught_by_another_process(
    cli: CommandLine, file: Path
) -> None:
    file.write_text(SHORT.replace("reply.first_line", "' '.join(set(query.text.split()))"))
    done = cli("check-method", file)
    assert done.code == 1
    assert done.out.startswith(
        "BROKEN another process gives the same answers\n       question q0: "
    )
    assert "fix: sort what comes out of a set" in done.out


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("1 / 0\n", r"ZeroDivisionError: division by zero ({}:1)"),
        ("import nothing_there\n", r"ModuleNotFoundError: No module named 'nothing_there' ({}:1)"),
        ("x = 1\ndef f(:\n", r"({}:2)"),
        ("import sys\nsys.exit(3)\n", r"SystemExit: 3 ({}:2)"),
        ("while True:\n    pass\n", r"importing hangs: nothing happened for 0.2 seconds at {}:"),
    ],
    ids=["error", "import", "syntax", "exit", "endless"],
)
def test_code_that_cannot_be_imported_is_told_with_its_line(
    code: str, told: str, cli: CommandLine, file: Path
) -> None:
    file.write_text(code)
    done = cli("check-method", file, "--seconds", "0.2")
    assert done.code == 1
    assert done.out.startswith("BROKEN it can be imported\n")
    assert told.format(file) in done.out


def test_a_module_beside_a_file_is_told_how_it_is_found(
    cli: CommandLine, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.with_name("words_of_mine.py").write_text("WORDS = 3\n")
    file.write_text("from words_of_mine import WORDS\n" + SHORT)
    told = cli("check-method", file).out
    assert "words_of_mine lies beside it, but its folder is not on the import path" in told
    assert "PYTHONPATH" in told
    monkeypatch.syspath_prepend(file.parent)
    assert cli("check-method", file).code == 0


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("gone.py", "gone.py: file not found"),
        ("bm26", "unknown method 'bm26'; did you mean 'bm25'?"),
        ("nowhere.there:Class", "no module 'nowhere.there' to import; give its file"),
        ("json:loads", "not a class; name a subclass of harness.Method"),
        ("{file}:Shorter", "has no 'Shorter'; did you mean 'Short'?"),
        ("{two}", "two.py:One, "),
        ("{none}", "no method in it"),
    ],
)
def test_a_target_that_names_no_class_is_refused(
    target: str, message: str, cli: CommandLine, file: Path
) -> None:
    two, none = file.with_name("two.py"), file.with_name("none.py")
    two.write_text(SHORT.replace("Short(", "One(") + SHORT.replace("Short(", "Two("))
    none.write_text("from harness import Method\n")
    assert message in cli.refuses("check-method", target.format(file=file, two=two, none=none))


def test_registered_methods_modules_and_parameters(cli: CommandLine, file: Path) -> None:
    done = cli("check-method", "bm25", "-p", "k=1")
    assert done.code == 0 and done.out.endswith("BM25: 33 rules kept, 0 broken\n")
    assert cli("check-method", "tests.harness.testing.broken_methods:Good").code == 0
    file.write_text(f"{SHORT}\nMETHODS = {{'short': Short}}\n")
    done = cli("check-method", "short", "--plugin", file)
    assert done.code == 0 and "kept   another process gives the same answers" in done.out
    assert "parameter 'k' = 0" in cli.refuses("check-method", "bm25", "-p", "k=0")


def test_a_method_that_needs_a_model_says_so_and_is_given_one(cli: CommandLine, file: Path) -> None:
    file.write_text(SHORT.replace("    card", "    needs = frozenset({'soft-prompts'})\n    card"))
    assert "with --model NAME" in cli.refuses("check-method", file)
    cli.model.capabilities = frozenset({"soft-prompts"})
    done = cli("check-method", file, "--model", "smollm2-135m-instruct")
    assert done.code == 0, done.out
    # Where the model is real, what it asks elsewhere is its own affair.
    assert done.out.endswith("Short: 29 rules kept, 0 broken\n")
