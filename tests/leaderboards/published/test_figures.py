"""Published figures: every file can be read, each number has a source, and none stands in a row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from harness.cli.main import app
from harness.errors import InputError
from leaderboards.published import FACTORS, FOLDER, Figure, figures, read_figures
from leaderboards.published.block import HEADING, WIDTH, block, to_csv, to_markdown
from leaderboards.view import view
from leaderboards.writers import write
from tests.leaderboards.conftest import WriteRun

# FlashRAG's README: NQ EM, TriviaQA EM, HotpotQA F1, 2Wiki F1, PopQA F1, WebQA EM.
README = """
Naive generation | 22.6 | 55.7 | 28.4 | 33.9 | 21.7 | 18.8
Standard RAG | 35.1 | 58.9 | 35.3 | 21.0 | 36.7 | 15.7
Self-RAG | 36.4 | 38.2 | 29.6 | 25.1 | 32.7 | 21.9
IRCoT | 33.3 | 56.9 | 41.5 | 32.4 | 45.6 | 20.7
Adaptive-RAG | 35.1 | 56.6 | 39.1 | 28.4 | 40.4 | 16.0
FLARE | 22.5 | 55.8 | 28.0 | 33.9 | 20.7 | 20.2
Iter-Retgen | 36.8 | 60.1 | 38.3 | 21.6 | 37.9 | 18.2
SuRe | 37.1 | 53.2 | 33.4 | 20.6 | 48.1 | 24.2
REPLUG | 28.9 | 57.7 | 31.2 | 21.1 | 27.8 | 20.2
SKR | 33.2 | 56.0 | 32.4 | 23.4 | 31.7 | 17.0
Ret-Robust | 42.9 | 68.2 | 35.8 | 43.4 | 57.2 | 33.7
RQRAG | 32.6 | 52.5 | 33.5 | 35.8 | 46.4 | 26.2
"""
COLUMNS = (
    "nq/em", "triviaqa/em", "hotpotqa/f1", "2wikimultihopqa/f1", "popqa/f1", "webquestions/em",
)  # fmt: skip
# NQ EM, TriviaQA EM, PopQA EM, HotpotQA F1, 2Wiki F1, MuSiQue F1, Bamboogle F1; R1-Searcher's row
# of the README is another's.
REASONING = """
CoRAG | 40.9 | 63.1 | 36.0 | 56.6 | 60.7 | 31.9 | 54.1
Search-R1 | 45.2 | 62.2 | 49.2 | 54.5 | 42.6 | 29.2 | 59.9
O2-Searcher | 41.4 | 51.4 | 46.8 | 43.4 | 48.6 | 19.0 | 47.6
AutoRefine | 43.8 | 59.8 | 32.4 | 54.0 | 50.3 | 23.6 | 46.6
ReaRAG | 26.3 | 51.8 | 24.6 | 42.9 | 41.6 | 21.2 | 41.9
SimpleDeepSearcher | 36.1 | 61.6 | 42.0 | 49.0 | 49.1 | 24.7 | 57.7
"""
REASONING_COLUMNS = (
    "nq/em", "triviaqa/em", "popqa/em", "hotpotqa/f1", "2wikimultihopqa/f1", "musique/f1",
    "bamboogle/f1",
)  # fmt: skip
OTHERS = {
    "self-rag/self-rag-7b/popqa/contains": 54.9,
    "ircot/ircot-gpt3/hotpotqa/f1": 60.7,
    "ircot/ircot-flan-t5-xxl/musique/f1": 30.8,
    "adaptive-rag/adaptive-rag/nq/em": 37.8,
    "adaptive-rag/multi-step-retrieval-ircot/nq/em": 38.6,
    "adaptive-rag/self-rag/nq/em": 31.4,
    "corag/corag-l-6-greedy/hotpotqa/em": 54.4,
    "corag/corag-l-10-best-of-8/musique/f1": 42.4,
    "corag/self-rag/musique/f1": 13.2,
    "xrag/xrag-mistral-7b/nq/contains": 39.1,
    "xrag/text-in-the-prompt-mistral-7b/nq/contains": 42.71,
    "xrag-ablation/xrag-without-self-distillation/hotpotqa/contains": 27.45,
    "clara/clara-cr-16/nq/unnamed": 55.56,
    "clara/xrag-cr-128/nq/unnamed": 32.35,
    "clara/pisco-cr-16/nq/unnamed": 54.39,
    "clara-oracle/pisco-oracle-cr-16/musique/unnamed": 33.8,
    "proposal/self-rag/nq/em": 35,
    "proposal/ircot/nq/em": 38,
    "proposal/adaptive-rag/nq/em": 36,
    "proposal/corag/nq/em": 42,
}


def by_id() -> dict[str, Figure]:
    return {figure.id: figure for figure in figures()}


@pytest.mark.parametrize(
    ("text", "table", "columns"),
    [(README, "flashrag", COLUMNS), (REASONING, "flashrag-reasoning", REASONING_COLUMNS)],
)
def test_flashrags_table_is_its_readmes(text: str, table: str, columns: tuple[str, ...]) -> None:
    found = by_id()
    for line in text.strip().splitlines():
        name, *values = line.split(" | ")
        slug = name.lower().replace(" ", "-")
        assert [found[f"{table}/{slug}/{column}"].value for column in columns] == [
            float(value) for value in values
        ]


def test_figures_of_papers_are_as_written_there() -> None:
    found = by_id()
    assert {id_: found[id_].value for id_ in OTHERS} == OTHERS


def test_every_figure_has_a_source_a_name_of_its_own_and_a_possible_value() -> None:
    every = figures()
    assert len({figure.id for figure in every}) == len(every) > 600
    for figure in every:
        assert figure.source.title
        assert figure.source.arxiv or figure.source.url or figure.source.table
        assert figure.value > 1 if figure.metric in FACTORS else 0 <= figure.value <= 100
        assert figure.kind == ("claim" if figure.table == "proposal" else "measured")
    # A number of a method that others report names its reporter and its own paper.
    clara = by_id()["clara/xrag-cr-128/nq/unnamed"]
    assert (clara.reported_by, clara.paper) == ("CLaRa", "arXiv 2405.13792")


def test_no_key_stands_twice_in_a_file() -> None:
    """YAML would keep the last one in silence, and with it a wrong number."""

    class Strict(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            assert len(set(keys)) == len(keys), (keys, node.start_mark)
            return super().construct_mapping(node, deep)

    for path in FOLDER.glob("*.yaml"):
        yaml.load(path.read_text(encoding="utf-8"), Strict)


WHOLE = {
    "reported_by": "Somebody",
    "kind": "measured",
    "source": {"title": "A paper", "arxiv": "2401.00001"},
    "rows": [{"method": "One", "scores": {"nq": {"em": 1.5}}}],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"retreiver": "bm25"}, r"mine.yaml: unknown key 'retreiver'; did you mean 'retriever'"),
        ({"source": {"title": "A", "urll": "x"}}, r"unknown key 'source.urll'.*'url'"),
        ({"rows": [{"method": "One", "score": {}}]}, r"unknown key 'rows.0.score'.*'scores'"),
        ({"source": {"title": "A paper"}}, r"'source': .*give arxiv, url or table"),
        ({"source": {"title": "A", "url": "javascript:x"}}, r"'source.url': .*pattern"),
        ({"source": {"title": "A", "arxiv": "24"}}, r"'source.arxiv': .*pattern"),
        ({"kind": "guess"}, r"'kind': Input should be 'measured' or 'claim'"),
        ({"rows": []}, r"'rows': "),
        ({"rows": [{"method": "M", "scores": {"nq": {"em": "35"}}}]}, r"'rows.0.scores.nq.em'"),
        ({"rows": [{"method": "M", "scores": {"nq": {"emm": 3.0}}}]}, r"'rows.0.scores.nq.emm'"),
        ({"rows": WHOLE["rows"] * 2}, r"'One' has nq em twice"),
    ],
)
def test_a_wrong_file_is_named_with_its_key(tmp_path: Path, change: dict, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(WHOLE))
    assert [figure.value for figure in read_figures(tmp_path)] == [1.5]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(WHOLE | change))
    with pytest.raises(InputError, match=message):
        read_figures(tmp_path)


def test_a_block_has_each_figure_once_and_its_footnotes() -> None:
    found = block(figures(["nq"]))
    assert list(found.lines) == ["nq", "any"]
    shown = [
        figure.id for lines in found.lines.values() for line in lines for figure in line.figures
    ]
    assert sorted(shown) == sorted(figure.id for figure in figures(["nq"]))
    line = next(each for each in found.lines["nq"] if each.first.id.startswith("proposal/ircot/"))
    assert line.value("em") == "38 (claim)"
    assert "section 6.2" in found.footnotes[line.source - 1]
    pisco = found.lines["any"][-1]
    assert pisco.others == "5x faster than text"


def test_every_task_fits_a_terminal_and_what_has_no_room_stands_in_footnotes() -> None:
    narrow, wide = (to_markdown(figures(), wide=all_columns) for all_columns in (False, True))
    tables = [line for line in narrow.splitlines() if line.startswith("|")]
    assert max(map(len, tables)) <= WIDTH == 120
    assert max(map(len, wide.splitlines())) > 150
    found = block(figures(), wide=False)
    for task, lines in found.lines.items():
        for line in lines:
            said = [found.footnotes[n - 1] for n in (line.source, line.detail, *line.more) if n]
            model = line.first.model
            assert model is None or "Model" in found.columns[task] or f"Model: {model}." in said
            assert f"{line.first.reported_by}: " in said[0]
            if len(line.first.method) > 30:
                assert f"Method: {line.first.method}." in said
    assert "Model" in found.columns["squad"], "where there is room it stays"


@pytest.mark.parametrize("wide", [False, True])
def test_footnotes_run_from_1_in_the_order_of_reading(wide: bool) -> None:
    found = block(figures(), wide=wide)
    read = [
        number
        for lines in found.lines.values()
        for line in lines
        for number in (line.source, line.detail, *line.more)
        if number
    ]
    assert list(dict.fromkeys(read)) == list(range(1, len(found.footnotes) + 1))


def test_tables_show_them_apart_and_rank_nothing_with_them(
    write_run: WriteRun, tmp_path: Path
) -> None:
    write_run(skill=0.1)
    runs = tmp_path / "runs"
    for form in ("markdown", "latex"):
        alone = write(view(runs), form).decode()
        both = write(view(runs, published=True), form).decode()
        assert HEADING not in alone
        assert both.startswith(alone.rstrip("\n"))  # nothing above changes
        assert both.count(HEADING) == (1 if form == "markdown" else 2)
        assert "e5-base-v2" in both
    alone, both = (
        json.loads(write(view(runs, published=shown), "json")) for shown in (False, True)
    )
    assert len(both.pop("published")) == len(figures(["nq"]))
    assert both == alone


def test_hostile_text_in_a_file_is_harmless(tmp_path: Path) -> None:
    row = {"method": "=A|<script>`\n", "scores": {"n|q": {"em": 1.0}}, "setting": "<b>|"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(WHOLE | {"rows": [row]}))
    found = read_figures(tmp_path)
    text = to_markdown(found)
    assert "<script>" not in text
    assert "<b>" not in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1
    assert "'=A" in to_csv(found)


def test_the_commands(write_run: WriteRun, tmp_path: Path) -> None:
    write_run()
    runs, out = str(tmp_path / "runs"), tmp_path / "out" / "board.csv"
    run = CliRunner().invoke
    shown = run(app, ["published", "--task", "musique", "--format", "json"])
    assert {row["task"] for row in json.loads(shown.stdout)} == {"musique", "any"}
    assert "no figure of task 'musik'" in str(run(app, ["published", "--task", "musik"]).exception)
    refused = run(app, ["leaderboard", runs, "--published", "--format", "csv"])
    assert "stand in no table of rows" in str(refused.exception)
    assert run(app, ["leaderboard", runs, "--published", "-o", str(out)]).exit_code == 0
    assert "flashrag/standard-rag/nq/em" in out.with_suffix(".published.csv").read_text()
    assert "flashrag" not in out.read_text()
