"""``show`` tells one question's story: every step, the answer, the gold, the cost."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from harness.cli.show import story
from harness.errors import InputError, UnansweredError
from harness.llm.requests import Reply
from harness.method import Method, MethodCard
from harness.records import Passage, Prediction, Query
from harness.runs.execute import execute
from harness.runs.predictions import read_predictions
from harness.testing.models import RuleModel, WordRetriever
from harness.trace import note
from tests.harness.lab import Ask, CountingModel, make_plan, quiet, without_torch


class Thinks(Method):
    """Every kind of step."""

    card = MethodCard("Thinks", "Uses all there is.")

    class Params(Method.Params):
        retriever: str = "bm25"

    async def answer(self, query: Query) -> Prediction:
        passages = await self.retriever.search(query.text, k=2)
        note("thought", text="look\x1b[31m again", hops=[1, 2])
        _, scores, _ = await asyncio.gather(
            self.llm.next_token_probs("Yes or no?", ["yes", "no"]),
            self.llm.score("x " * 400 + "the end", ["certain", "unknown"]),
            self.llm.generate("bell \x07", max_tokens=3),
        )
        return Prediction(f"{len(scores.logprobs)} ways", passages)


@pytest.fixture
def run(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    without_torch(monkeypatch)
    plan = make_plan(files, Thinks())
    model = RuleModel(lambda _: "a reply")
    return execute(plan, tmp_path / "runs", model, WordRetriever(plan.data.corpus), quiet())


def test_a_story_has_every_step_the_answer_the_gold_and_the_cost(run: Path) -> None:
    text = story(run, "q7")
    lines = text.splitlines()
    assert lines[0].startswith("toy / thinks / rules (")
    assert lines[1] == "question q7: How is number 7 called?"
    assert lines[2].startswith("  1. search 'How is number 7 called?': d7 (4.00), ")
    assert lines[3] == "  2. thought: hops=[1, 2], text='look\\x1b[31m again'"
    assert "  3. next_token_probs (3 tokens)\n       | Yes or no?\n     = P('no') = 0." in text
    assert "log P('certain') = -" in text and "log P('unknown') = -" in text
    assert (
        "  5. generate (2 tokens)\n       | bell \N{REPLACEMENT CHARACTER}\n     = 'a reply'"
        in text
    )
    assert "answer: '2 ways'" in lines
    assert "golden answers: 'name7'" in lines
    assert any(line.startswith("retrieved (* gold, 1 in all): d7* d") for line in lines)
    assert lines[-1] == "3 model calls, 1 searches, 407 + 2 tokens"


def test_long_prompts_are_cut_at_their_beginning_unless_all_is_asked_for(run: Path) -> None:
    short = story(run, "q7")
    assert "       | ... " in short and "x x the end" in short
    assert len(story(run, "q7", full=True)) > len(story(run, "q7")) + 500


def test_nothing_that_a_terminal_obeys_gets_through(run: Path) -> None:
    assert all(c.isprintable() or c == "\n" for c in story(run, "q7", full=True))


def test_thoughts_a_cut_reply_unknown_counts_and_unanswered_questions_are_told(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Thinking(CountingModel):
        concurrency = 2

        def generate(self, requests):
            for index, request in enumerate(requests):
                if "number 3 " in str(request.prompt):
                    raise UnansweredError("503")
                yield index, Reply("", None, None, thoughts="hm " * 200, cut_off=True)

    without_torch(monkeypatch)
    execute(make_plan(files, Ask()), tmp_path / "runs", Thinking(), None, quiet())
    text = story(tmp_path / "runs", "q7")
    assert "generate (unknown tokens, the token limit ended the reply)" in text
    assert f"     thoughts '{('hm ' * 80)} ...'" in text
    assert text.splitlines()[-1] == "2 model calls, 0 searches, unknown + unknown tokens"
    assert "hm " * 200 in story(tmp_path / "runs", "q7", full=True)
    assert story(tmp_path / "runs", "q3").endswith(": left unanswered, UnansweredError: 503")


class ReadsLong(Method):
    """Reads two passages, the best of them longer than the window."""

    card = MethodCard("Reads long", "Reads what does not fit.")

    async def answer(self, query: Query) -> Prediction:
        long, short = Passage("a", "", "One two. " * 50), Passage("b", "", "Three.")
        prompt = self.prompts.read(query, [long, short])
        return Prediction((await self.llm.generate(prompt, max_tokens=3)).first_line)


def test_passages_that_did_not_fit_are_told(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_torch(monkeypatch)
    plan = make_plan(files, ReadsLong(ReadsLong.Params(shots=0)))
    execute(plan, tmp_path / "runs", RuleModel(window=50), None, quiet())
    text = story(tmp_path / "runs", "q7", full=True)
    assert "1 passages did not fit, the best passage was cut)" in text
    assert "One two. One two.\n" in text


def test_every_run_that_answered_the_question_is_shown(run: Path, files: Path) -> None:
    root = run.parents[2]
    execute(make_plan(files, Ask()), root, CountingModel(), None, quiet())
    assert story(root, "q3").count("question q3:") == 2
    assert story(run, "q3").count("question q3:") == 1


def test_an_error_is_part_of_the_story(run: Path) -> None:
    path = run / "predictions.jsonl"
    rows = [row for _, row in read_predictions(path)]
    rows[0]["error"] = "ValueError: no"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "error: ValueError: no" in story(run, rows[0]["question_id"])


def test_a_question_that_is_not_there_is_named_with_the_nearest(run: Path) -> None:
    with pytest.raises(InputError, match=r"no run has answered question 'Q7'.*q7"):
        story(run, "Q7")


def test_without_the_gold_the_story_goes_on(run: Path) -> None:
    for gold in run.parents[1].glob("questions-*.jsonl"):
        gold.unlink()
    assert "(not on file)" in story(run, "q7")
    assert "answer: '2 ways'" in story(run, "q7")


def test_the_command(run: Path, cli) -> None:
    assert cli("show", run, "q7").out == story(run, "q7") + "\n"
    assert cli("show", run, "q7", "--full").out == story(run, "q7", full=True) + "\n"
    assert "no run has answered" in cli.refuses("show", run, "nothing")


def test_what_was_read_and_named_is_told_where_it_is_not_what_was_ranked(run: Path) -> None:
    assert "read:" not in story(run, "q7") and "support" not in story(run, "q7")
    path = run / "predictions.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line |= {"retrieved_ids": ["d7", "d1"], "read_ids": ["d1"], "support_ids": []}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = story(run, "q7").splitlines()
    place = told.index("retrieved (* gold, 1 in all): d7* d1")
    assert told[place + 1 : place + 3] == ["read: d1", "named as support: nothing"]
