"""Crossings in an analysis: by hand, byte for byte, and where there are none."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InputError
from leaderboards.analysis.report import Written, analyse
from leaderboards.analysis.scaling import MEASURES
from leaderboards.analysis.scaling_picture import draw_scaling
from tests.leaderboards.conftest import WriteGold, WriteRun, prediction, score_line

GOLDEN = Path(__file__).parent / "golden"
SIZES = (10, 40, 160, 640)
FORGETTING = "Closed-book F1, change [95% CI], points"
IDS = [f"q{i:04d}" for i in range(40)]


def costs(size: int, seconds: float, stored: int, *, ids: bool = True) -> dict[str, Any]:
    """Ten timed queries, of which the median takes ``seconds``, and the first token half of it."""
    each = [seconds * (0.91 + i / 50) for i in range(10)]
    latency = {"seconds": each, "first_token": [second / 2 for second in each], "warmup": 1}
    return {
        "latency": {**latency, **({"question_ids": IDS[:10]} if ids else {})},
        "storage": {"parts": {"text": stored}, "documents": size},
        "write": {"seconds": size / 10, "prompt_tokens": 3 * size, "completion_tokens": 0},
    }


@pytest.fixture
def runs_of(
    write_run: WriteRun, write_gold: WriteGold, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Write a method's runs: the share that it answers, seconds and bytes at each size."""
    monkeypatch.setattr(Written, "picture", lambda *_: None)
    write_gold({id_: ["g"] for id_ in IDS})

    def write(
        method: str, right: list[float], seconds: list[float], stored: list[int], **more: Any
    ) -> Path:
        for size, share, second, size_in_bytes in zip(SIZES, right, seconds, stored, strict=False):
            config = {"passages": size, "corpus_fingerprint": f"{size:012d}"}
            lines = [score_line(id_, f1=float(n < 40 * share)) for n, id_ in enumerate(IDS)]
            given = costs(size, second, size_in_bytes, **more)
            answers = [prediction(id_) for id_ in IDS]
            write_run(method, task_config=config, lines=lines, costs=given, predictions=answers)
        return runs

    return write


@pytest.fixture
def three(runs_of: Any) -> Path:
    """One that falls, one that stays, and one that stops at 160 and is always the slowest."""
    runs_of("full-context", [0.8, 0.6, 0.4, 0.2], [0.1, 0.2, 0.4, 0.8], [10, 40, 160, 640])
    runs_of("bm25", [0.5] * 4, [0.3] * 4, [200, 400, 600, 800])
    return Path(runs_of("cartridge", [0.1] * 3, [0.9] * 3, [5000] * 3))


def rows(out: Path) -> dict[tuple[str, ...], dict[str, str]]:
    with (out / "crossings.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    return {(row["measure"], *sorted((row["method"], row["other"]))): row for row in found}


def test_crossings_by_hand(three: Path, tmp_path: Path) -> None:
    analyse(three, tmp_path / "out")
    found = rows(tmp_path / "out")
    f1 = found["F1 [95% CI], %", "bm25", "full-context"]
    # .6 against .5 at 40 and .4 at 160: half-way, 80.
    assert (f1["crossing"], f1["ahead_at_smallest"], f1["ahead_at_largest"]) == (
        "80", "full-context", "bm25",
    )  # fmt: skip
    assert 10 < int(f1["crossing_low"]) < 80 < int(f1["crossing_high"]) < 640
    assert float(f1["share_of_resamples_crossing"]) > 0.99 and f1["questions"] == "40"
    # .2 s against .3 at 40 and .4 at 160, of the same ten queries.
    latency = found["Latency p50, ms", "bm25", "full-context"]
    assert (latency["crossing"], latency["questions"]) == ("80", "10")
    first = found["Time to first token p50, ms", "bm25", "full-context"]
    assert first["crossing"] == "80"
    size = found["Memory of a pool, MB", "bm25", "full-context"]
    assert (size["ahead_at_largest"], size["crossing"], size["crossing_low"]) == (
        "full-context", "<10", "",
    )  # fmt: skip
    stops = found["F1 [95% CI], %", "cartridge", "full-context"]
    assert (stops["largest"], stops["crossing"], stops["ahead_at_largest"]) == (
        "160", "<10", "full-context",
    )  # fmt: skip


def test_golden(three: Path, tmp_path: Path) -> None:
    text = analyse(three, tmp_path / "out")
    table = text.partition("## Scaling")[2].partition("## Written")[0]
    found = {
        "crossings.md": f"## Scaling{table}".encode(),
        "crossings.csv": (tmp_path / "out" / "crossings.csv").read_bytes(),
        "scaling.csv": (tmp_path / "out" / "scaling.csv").read_bytes(),
    }
    for name, data in found.items():
        if os.environ.get("UPDATE_GOLDEN"):
            (GOLDEN / name).write_bytes(data)
        assert data == (GOLDEN / name).read_bytes(), name


def test_equal_methods_have_no_crossing_and_are_told_to_be_equal(
    runs_of: Any, tmp_path: Path
) -> None:
    runs_of("one", [0.5] * 4, [0.3] * 4, [10] * 4)
    text = analyse(runs_of("other", [0.5] * 4, [0.3] * 4, [10] * 4), tmp_path / "out")
    assert "No crossing within 10-640, F1: equal at the largest: one and other." in text
    row = rows(tmp_path / "out")["F1 [95% CI], %", "one", "other"]
    assert (row["ahead_at_largest"], row["crossing"]) == ("", "")


def test_times_are_not_paired_where_it_is_unknown_what_was_timed(
    runs_of: Any, tmp_path: Path
) -> None:
    runs_of("one", [0.6, 0.4], [0.1, 0.2], [10] * 2, ids=False)
    analyse(runs_of("other", [0.5] * 2, [0.15] * 2, [20] * 2), tmp_path / "out")
    measures = {measure for measure, *_ in rows(tmp_path / "out")}
    assert measures == {"F1 [95% CI], %", "Memory of a pool, MB"}


def test_what_the_picture_says(three: Path) -> None:
    from leaderboards.analysis.crossings import find_crossings
    from leaderboards.analysis.scaling import find_points
    from leaderboards.analysis.series import labels_of, read_series

    series, _ = read_series(three)
    points = find_points(series[0])
    figure = draw_scaling([points], labels_of(series), find_crossings(series[0], points))
    panels = {axes.get_ylabel(): axes for axes in figure.axes if axes.get_visible()}
    # No retrieval and no search here: what nobody has is left out.
    shown = {measure.name for measure in MEASURES}
    lacking = {"Recall@5, %", "Selection or search p50, ms", FORGETTING}
    assert set(panels) == shown - lacking
    title = panels["F1 [95% CI], %"].get_title(loc="left").replace("\n", " ")
    assert title == "nq, n = 40, smollm2-135m, 2 x Intel Xeon, 24 GB, no GPU, cpu, 2 threads"
    marks = {
        name: [round(float(x.get_xdata()[0])) for x in axes.lines if x.get_marker() == "x"]
        for name, axes in panels.items()
    }
    assert 80 in marks["F1 [95% CI], %"] and 80 in marks["Latency p50, ms"]
    assert marks["Memory of a pool, MB"] == []
    writing = panels["Writing or indexing a pool, s"]
    assert any(list(line.get_ydata()) == [1, 4, 16, 64] for line in writing.lines)


def forget(runs: Path, method: str, documents: int, difference: float, **params: Any) -> None:
    """As evaluate-forgetting leaves it."""
    head = {"task": "nq", "method": method}
    line = {**head, "measure": "f1 closed book", "n": 20, "difference": difference}
    apart = {**head, "measure": "closed book", "n": None}
    lines = [
        {**line, "low": difference - 0.1, "high": difference + 0.1},
        {**head, "measure": "f1 old documents", "n": 20, "difference": 0.5, "low": 0, "high": 1},
    ]
    facts = {
        "model": "smollm2-135m",
        "documents": {"nq": [documents, documents]},
        "methods": {method: {"k": 5, "shots": 3, **params}},
    }
    out = runs / "forgetting" / f"{method}-{documents}-{len(params)}"
    out.mkdir(parents=True)
    rows = [apart] if difference == 0 else lines
    (out / "summary.json").write_text(json.dumps({"facts": facts, "summary": rows}))


def test_forgetting_stands_where_it_was_measured_and_nowhere_else(
    three: Path, tmp_path: Path
) -> None:
    from leaderboards.analysis.forgetting import find_forgotten
    from leaderboards.analysis.scaling import find_points
    from leaderboards.analysis.series import labels_of, read_series

    forget(three, "cartridge", 40, -0.25)
    forget(three, "cartridge", 160, -0.5, k=9)
    forget(three, "full-context", 99, 0)
    forget(three, "bm25", 99, 0.25)
    analyse(three, tmp_path / "out")
    with (tmp_path / "out" / "scaling.csv").open(newline="") as file:
        found = {
            (row["method"], row["documents"]): row["closed_book_f1_difference"]
            for row in csv.DictReader(file)
        }
    assert {key: value for key, value in found.items() if value} == {
        ("cartridge", "40"): "-0.25",
        **{("full-context", str(size)): "0.0" for size in SIZES},
    }
    series, _ = read_series(three)
    points = find_points(series[0], find_forgotten(three))
    figure = draw_scaling([points], labels_of(series))
    (panel,) = [axes for axes in figure.axes if axes.get_ylabel().replace("\n", " ") == FORGETTING]
    assert panel.get_ylim()[0] < -35


def test_a_damaged_summary_of_forgetting_is_named(three: Path, tmp_path: Path) -> None:
    forget(three, "cartridge", 40, -0.25)
    path = three / "forgetting" / "cartridge-40-0" / "summary.json"
    path.write_text('{"facts": {}, "summary": [{"measure": "closed book"}]}')
    with pytest.raises(InputError, match=r"summary.json: not what evaluate-forgetting writes"):
        analyse(three, tmp_path / "out")
