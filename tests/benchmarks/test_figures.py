"""Figures of benchmarks: ratios with their targets, kept by the day, asked for once a day."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import InputError
from tests.benchmarks import __main__ as suite
from tests.benchmarks.figures import FIGURES, Figure, divided, report, take_turns
from tests.benchmarks.record import Bench, Measured

FAST = Figure("ours, time", "the floor", (1.0, 1.2, 1.1), target=1.1)


def measured(name: str, *figures: Figure) -> Measured:
    return Measured(
        benchmark=name, command=f"python -m {name}", commit="c0ffee", seconds=1.0, figures=figures
    )


@pytest.mark.parametrize(
    ("bound", "target", "met"),
    [
        ("at most", 1.1, True),
        ("at most", 1.0, False),
        ("at least", 1.2, False),
        ("at most", None, None),
    ],
)
def test_the_median_meets_a_target_or_does_not(bound, target, met) -> None:
    figure = Figure("ours", "theirs", (1.0, 1.2, 1.1), bound, target)
    assert (figure.value, figure.met) == (1.1, met)


def test_what_is_no_ratio_to_a_named_peer_is_refused() -> None:
    for name, against, ratios in [("", "x", (1.0,)), ("x", "", (1.0,)), ("x", "y", ())]:
        with pytest.raises(ValueError, match="at least 1"):
            Figure(name, against, ratios)
    with pytest.raises(ValueError, match="finite"):
        Figure("x", "y", (float("nan"),))


def test_sides_take_turns_and_who_begins_alternates() -> None:
    order: list[str] = []
    ticks = iter(range(100))
    sides = {name: lambda name=name: order.append(name) for name in "ab"}
    seconds = take_turns(sides, 3, lambda: next(ticks))
    assert "".join(order) == "abbaab"
    assert seconds == {"a": [1, 1, 1], "b": [1, 1, 1]}
    assert divided([2.0, 3.0], [1.0, 2.0]) == (2.0, 1.5)


def test_what_a_benchmark_reports_is_what_the_suite_reads(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv(FIGURES, str(tmp_path / "figures.json"))
    report([FAST])
    assert suite.MANY.validate_json((tmp_path / "figures.json").read_bytes()) == [FAST]
    assert "target at most 1.1 met" in capsys.readouterr().out


def test_a_day_has_one_file_that_says_all(tmp_path: Path) -> None:
    Bench.begun(tmp_path).having(measured("one", FAST)).write(tmp_path)
    Bench.begun(tmp_path).having(measured("two", FAST)).write(tmp_path)
    (file,) = tmp_path.iterdir()
    written = json.loads(file.read_bytes())
    assert [each["benchmark"] for each in written["measured"]] == ["one", "two"]
    assert {"python", "torch", "transformers", "bm25s"} <= written["versions"].keys()
    figure = written["measured"][0]["figures"][0]
    assert (figure["value"], figure["met"], figure["against"]) == (1.1, True, "the floor")
    assert str(Bench.begun(tmp_path).date) in file.name
    assert "| at most 1.1 | met" in Bench.begun(tmp_path).table()


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    bench = Bench.begun(tmp_path)
    bench.path(tmp_path).write_text('{"hardware": ""}')
    with pytest.raises(InputError, match=r"\.json: .*restore or delete it"):
        Bench.begun(tmp_path)


def test_a_stopped_suite_keeps_what_is_finished_and_goes_on(tmp_path, monkeypatch) -> None:
    asked: list[str] = []

    def measure(name: str) -> Measured:
        asked.append(name)
        if asked == ["one", "two"]:
            raise KeyboardInterrupt
        return measured(name, FAST)

    monkeypatch.setattr(suite, "measure", measure)
    with pytest.raises(KeyboardInterrupt):
        suite.run(["one", "two"], tmp_path, again=False)
    assert suite.run(["one", "two"], tmp_path, again=False) == []
    assert asked == ["one", "two", "two"]
    suite.run(["one"], tmp_path, again=True)
    assert asked[-1] == "one"


def test_a_benchmark_that_fails_is_named_and_the_others_are_kept(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(suite, "measure", lambda n: None if n == "one" else measured(n, FAST))
    assert suite.run(["one", "two"], tmp_path, again=False) == ["one"]
    assert [each.benchmark for each in Bench.begun(tmp_path).measured] == ["two"]


def test_every_benchmark_of_the_suite_is_there() -> None:
    folder = Path(suite.__file__).parent
    assert [name for name in suite.SUITE if not (folder / f"{name}.py").exists()] == []
