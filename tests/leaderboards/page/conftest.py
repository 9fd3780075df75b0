"""A small board of which every answer is known, its page, and the browser that opens it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.records import Hit, Prediction, Step, Usage
from harness.runs.manifest import CardRecord
from leaderboards.page import to_html
from leaderboards.view import view
from tests.leaderboards.page.chromium import Chromium, Tab, find, tab
from tests.leaderboards.page.synthetic import Data, make_data, write_run

QUESTIONS = 60


def answered(data: Data, right: Callable[[int], bool], *, reads: int = 0) -> list[Prediction]:
    """Answers that are right for some places; the gold passage is the second of those read."""
    found = []
    for i, question in enumerate(data.questions):
        ids = [f"{data.name}-p{i}-1", question.gold_doc_ids[0], f"{data.name}-p{i}-2"][:reads]
        answer = question.golden_answers[0] if right(i) else f"a guess at {i}"
        found.append(
            Prediction(
                answer, ranked=[Hit(id_) for id_ in ids], read=ids[:2], raw=f"{answer}\nand more",
                usage=Usage(2, 1, 200, 9),
                steps=(
                    Step("search", {"query": question.text, "retrieved_ids": ids}),
                    Step("generate", {"prompt": f"Q: {question.text}", "reply": answer}),
                ),
            )
        )  # fmt: skip
    return found


@pytest.fixture(scope="session")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two tasks, one of a known name.

    bm25 is right at even places, parametric-qa at those divisible by 4.
    """
    root = tmp_path_factory.mktemp("board")
    runs = root / "runs"
    for task in ("alpha", "nq"):
        data = make_data(root, task, QUESTIONS, words=20)
        write_run(runs, data, "no-retrieval", answered(data, lambda i: i % 10 == 0), seconds=0.5)
        write_run(runs, data, "bm25", answered(data, lambda i: i % 2 == 0, reads=3), seconds=1.0)
        few = answered(data, lambda i: i % 4 == 0, reads=2)
        write_run(runs, data, "parametric-qa", few, seconds=2.0, params={"k": 2})
        oracle = CardRecord(title="Gold passages", oracle=True)
        every = answered(data, lambda i: i != 1, reads=1)
        write_run(runs, data, "gold-passages", every, seconds=0.1, card=oracle)
    curves = runs / "prepared" / "base" / "curves.csv"
    curves.parent.mkdir(parents=True)
    steps = [f"{i},loss answer,{5 - i / 300},{i}.0\n" for i in range(1, 900)]
    curves.write_text("step,measure,value,seconds\n" + "".join(steps) + "9,validation none,3,9.0\n")
    return runs


@pytest.fixture(scope="session")
def html(board: Path) -> Path:
    """The page of the board."""
    path = board.parent / "board.html"
    path.write_bytes(to_html(view(board)))
    return path


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """One browser for all tests."""
    program = find()
    if program is None:
        pytest.skip("no Chromium is installed")
    started = Chromium(program, tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture
def window(browser: Chromium) -> Iterator[Tab]:
    """An empty page; whatever a test does in it, it may not complain or ask the network."""
    with tab(browser) as opened:
        opened.size(1280, 900)
        opened.colours("light")
        yield opened
        assert opened.complaints() == []
        assert opened.requests() == []


@pytest.fixture
def page(window: Tab, html: Path) -> Tab:
    """The board's page, open."""
    window.open(html.as_uri())
    return window
