"""Storage against accuracy, scaling over sub-pools, pictures and the printed summary."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from leaderboards.analysis.report import Written, analyse
from tests.leaderboards.conftest import performance, prediction

SVG = "{http://www.w3.org/2000/svg}svg"
SIZES = (250, 1000, 4000)
IDS = [f"q{i:04d}" for i in range(40)]
DRAWN: list[tuple[str, Path]] = []


@pytest.fixture
def run_of(write_run, write_gold):
    """Write a run on a corpus of so many documents, with its costs."""

    def write(method: str, documents: int = 5000, task: str = "nq", **options: Any) -> Path:
        write_gold({id_: ["g"] for id_ in IDS}, task)
        config = {"passages": documents, "corpus_fingerprint": f"{documents:012d}"}
        predictions = [prediction(id_, ["g", "x"]) for id_ in IDS]
        if method == "no-retrieval":
            predictions = [prediction(id_) for id_ in IDS]
        options = {"costs": performance(0.1, 40), "predictions": predictions} | options
        return write_run(method, task, task_config=config, **options)

    return write


def costs_of(parts: dict[str, int], documents: int, **by_kind: list[float]) -> dict[str, Any]:
    costs = performance(0.1, 40)
    costs["storage"] = {"parts": parts, "documents": documents}
    costs["latency"]["by_kind"] = by_kind
    return costs


def rows(out: Path, name: str) -> list[dict[str, str]]:
    with (out / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that look at no picture: drawing takes seconds."""
    monkeypatch.setattr(Written, "picture", lambda *_: None)


def names(out: Path) -> set[str]:
    return {path.name for path in out.iterdir()}


@pytest.mark.usefixtures("without_pictures")
def test_shared_parameters_are_a_column_and_spread_over_the_documents(
    run_of, runs: Path, tmp_path: Path
) -> None:
    parts = {"memory vectors": 20_000_000, "shared parameters": 8_000_000}
    run_of("memory", 2000, costs=costs_of(parts, 2000))
    run_of("no-retrieval", 2000, costs=costs_of({}, 0))
    analyse(runs, tmp_path / "out")
    found = {row["method"]: row for row in rows(tmp_path / "out", "storage.csv")}
    columns = ("mb_per_1000_documents", "shared_mb", "mb_per_1000_documents_with_shared")
    assert [float(found["memory"][name]) for name in columns] == [10, 8, 14]
    assert [float(found["no-retrieval"][name]) for name in columns] == [0, 0, 0]
    assert list(found["memory"]) == [
        "task", "split", "model", "documents", "method", "oracle", "seeds", "questions",
        "f1", "f1_low", "f1_high", *columns,
    ]  # fmt: skip
    memory = found["memory"]
    assert 0 < float(memory["f1_low"]) < float(memory["f1"]) < float(memory["f1_high"]) < 1


@pytest.mark.usefixtures("without_pictures")
def test_f1_and_its_interval_are_those_of_the_leaderboard(
    run_of, runs: Path, tmp_path: Path
) -> None:
    from leaderboards.board import build

    for seed in range(2):
        run_of("memory", seed=seed)
    run_of("bm25", skill=0.2)
    analyse(runs, tmp_path / "out")
    (table,) = build(runs).tables
    found = {row["method"]: row for row in rows(tmp_path / "out", "storage.csv")}
    for row in table.rows:
        numbers = [float(found[row.label][name]) for name in ("f1", "f1_low", "f1_high")]
        assert numbers == pytest.approx([row.f1.mean, *row.f1.interval])
    assert found["memory"]["seeds"] == "0 1"


@pytest.mark.usefixtures("without_pictures")
def test_methods_without_measured_storage_are_named(run_of, runs: Path, tmp_path: Path) -> None:
    run_of("bm25")
    run_of("broken", costs={})
    text = analyse(runs, tmp_path / "out")
    assert "no storage was measured: broken" in text
    assert [row["method"] for row in rows(tmp_path / "out", "storage.csv")] == ["bm25"]


@pytest.mark.usefixtures("without_pictures")
def test_one_size_has_no_scaling_picture_and_the_text_says_so(
    run_of, runs: Path, tmp_path: Path
) -> None:
    run_of("bm25")
    text = analyse(runs, tmp_path / "out")
    assert not any(name.startswith("scaling") for name in names(tmp_path / "out"))
    assert "no scaling picture: nq (sample): smollm2-135m" in text
    assert "--documents N" in text


@pytest.fixture
def scaled(run_of, runs: Path) -> Path:
    """Three sizes on nq, one on musique; search takes 1 us a document, selection 2."""
    parts = {"text": 1_000_000}
    for size in SIZES:
        found = costs_of(parts, size, search=[size * 1e-6] * 11, generate=[0.1] * 11)
        run_of("bm25", size, costs=found)
        for seed in range(2):
            chosen = costs_of(parts, size, select=[size * (2 + seed) * 1e-6] * 11)
            run_of("memory", size, seed=seed, costs=chosen)
        run_of("no-retrieval", size, gold=0, costs=costs_of({}, 0, generate=[0.1] * 11))
    run_of("bm25", 5000, "musique")
    return runs


@pytest.fixture
def drawn(scaled: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The summary and the folder of one analysis with pictures, for all tests that only look."""
    if not DRAWN:
        out = tmp_path_factory.mktemp("drawn") / "out"
        DRAWN.append((analyse(scaled, out), out))
    return DRAWN[0]


@pytest.mark.usefixtures("without_pictures")
def test_scaling_tells_quality_and_latency_of_each_size(scaled: Path, tmp_path: Path) -> None:
    text = analyse(scaled, tmp_path / "out")
    table = rows(tmp_path / "out", "scaling.csv")
    assert {row["task"] for row in table} == {"nq"}
    found = {(row["method"], int(row["documents"])): row for row in table}
    assert set(found) == {(m, n) for m in ("bm25", "memory", "no-retrieval") for n in SIZES}
    for size in SIZES:
        bm25, memory, none = (found[m, size] for m in ("bm25", "memory", "no-retrieval"))
        assert (bm25["finding"], memory["finding"], none["finding"]) == ("search", "select", "")
        assert float(bm25["finding_p50_ms"]) == pytest.approx(size / 1000)
        assert float(memory["finding_p50_ms"]) == pytest.approx(size * 2.5 / 1000)
        assert (none["finding_p50_ms"], none["recall@5"]) == ("", "")
        assert float(bm25["latency_p50_ms"]) == pytest.approx(100)
        assert float(bm25["f1_low"]) < float(bm25["f1"]) < float(bm25["f1_high"])
        assert 0 <= float(bm25["recall@5"]) <= 1
        assert memory["seeds"] == "0 1"
    assert "Sizes of the corpus: 250, 1,000, 4,000 documents" in text
    assert "no scaling picture: musique (sample): smollm2-135m." in text


@pytest.mark.usefixtures("without_pictures")
def test_pictures_show_the_largest_corpus_and_tables_all(scaled: Path, tmp_path: Path) -> None:
    text = analyse(scaled, tmp_path / "out")
    sizes = {row["documents"] for row in rows(tmp_path / "out", "storage.csv")}
    assert sizes == {"250", "1000", "4000", "5000"}
    assert {row["documents"] for row in rows(tmp_path / "out", "failures.csv")} == sizes
    assert text.count("The picture shows the largest corpus of each task") == 2


@pytest.mark.usefixtures("without_pictures")
def test_search_and_selection_of_one_query_add_up(run_of, runs: Path, tmp_path: Path) -> None:
    for size in SIZES:
        both = costs_of({"text": 1}, size, search=[0.001, 0.003, 0.002], select=[0.01] * 3)
        run_of("both", size, costs=both)
    analyse(runs, tmp_path / "out")
    for row in rows(tmp_path / "out", "scaling.csv"):
        assert row["finding"] == "select+search"
        assert float(row["finding_p50_ms"]) == pytest.approx(12)


@pytest.mark.usefixtures("without_pictures")
def test_timings_of_other_hardware_are_left_out_and_told(
    run_of, runs: Path, tmp_path: Path
) -> None:
    for size in SIZES:
        run_of("bm25", size, costs=costs_of({"text": 1}, size, search=[0.001] * 11))
    other = {"fingerprint": "ffff", "summary": "8 x AMD EPYC"}
    run_of("memory", 250, costs=costs_of({"text": 1}, 250, select=[1.0] * 11), hardware=other)
    text = analyse(runs, tmp_path / "out")
    found = {(r["method"], r["documents"]): r for r in rows(tmp_path / "out", "scaling.csv")}
    assert found["memory", "250"]["latency_p50_ms"] == ""
    assert found["memory", "250"]["finding_p50_ms"] == ""
    assert found["bm25", "250"]["finding_p50_ms"] == "1.0"
    assert "memory: measured on other hardware (8 x AMD EPYC" in text


@pytest.mark.usefixtures("without_pictures")
def test_limits_and_models_are_never_one_line(run_of, runs: Path, tmp_path: Path) -> None:
    run_of("bm25", 250, model_config={"name": "one"})
    run_of("bm25", 1000, model_config={"name": "other"})
    text = analyse(runs, tmp_path / "out")
    assert not (tmp_path / "out" / "scaling.csv").exists()
    assert "### one" in text
    assert "### other" in text


def test_every_picture_is_there_twice_and_well_formed(drawn: tuple[str, Path]) -> None:
    _, out = drawn
    for name in ("failures", "storage", "scaling"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        tree = ElementTree.fromstring((out / f"{name}.svg").read_bytes())
        assert tree.tag == SVG


def test_the_same_runs_give_the_same_bytes(
    drawn: tuple[str, Path], scaled: Path, tmp_path: Path
) -> None:
    (text, one), two = drawn, tmp_path / "two"
    assert text.replace(f"{one}/", f"{two}/") == analyse(scaled, two)
    assert names(one) == names(two)
    for name in names(one) - {"summary.md"}:
        assert (one / name).read_bytes() == (two / name).read_bytes()


@pytest.mark.usefixtures("without_pictures")
def test_parts_stand_against_the_floors_of_their_corpus(run_of, runs: Path, tmp_path: Path) -> None:
    from leaderboards.floors import floors_path

    parts = {"text": 1_200_000, "sparse index": 1_800_000, "shared parameters": 4_000_000}
    run_of("bm25", 2000, costs=costs_of(parts, 2000))
    assert "Floor" not in analyse(runs, tmp_path / "out")
    path = floors_path(runs, f"{2000:012d}")
    path.parent.mkdir()
    packed = {"name": "zstd", "bytes_per_1000": 300_000, "shared_bytes": 100_000}
    coded = {"model": "tiny", "settings": {}, "passages": 8, "bits": 480.0, "asked": 8}
    content = {"corpus_fingerprint": f"{2000:012d}", "documents": 2000, "packed": [packed]}
    path.write_text(json.dumps(content | {"coded": [coded]}))
    text = analyse(runs, tmp_path / "out")
    lines = [line.replace(" ", "") for line in text.splitlines() if line.startswith("|")]
    # 1.5 MB per 1,000 documents: five times zstd's 0.3 and 25 times the code's 0.06.
    assert "|bm25|0.9|0.6|1.5|4|5|25|" in lines
    assert "|Floor:zstd|\u2014|\u2014|0.3|0.1|1|5|" in lines
    assert "|Floor:codeoftiny|\u2014|\u2014|0.06|0|0.2|1|" in lines
    found = {row["part"]: row for row in rows(tmp_path / "out", "storage_parts.csv")}
    assert float(found["sparse index"]["mb_per_1000_documents"]) == 0.9
    assert float(found["shared parameters"]["shared_mb"]) == 4
    assert (found["zstd"]["kind"], float(found["zstd"]["mb_per_1000_documents"])) == ("floor", 0.3)


def test_the_summary_has_a_caption_and_names_every_file(drawn: tuple[str, Path]) -> None:
    text, out = drawn
    assert (out / "summary.md").read_text() == text
    for part in (
        "Model: smollm2-135m (dtype=fp32)",
        "Corpus: nq, 4,000 passages",
        "Questions: 40 of split sample",
        "Seeds: 0, 1.",
        "Hardware: 2 x Intel Xeon, 24 GB, no GPU, cpu, 2 threads. Runs of 2026-11-22",
        "not comparable with published full-benchmark numbers",
    ):
        assert part in text
    listed = text.partition("## Written")[2]
    for name in names(out) - {"summary.md"}:
        assert f"{name}\n" in listed


def test_many_long_names_are_all_in_the_pictures(run_of, runs: Path, tmp_path: Path) -> None:
    for number in range(9):
        params = {"steps": number, "a_parameter_with_a_long_name": "and a long value " * 3}
        run_of("ircot", params=params, skill=number / 20)
    analyse(runs, tmp_path / "out")
    for name in ("failures.svg", "storage.svg"):
        drawn = (tmp_path / "out" / name).read_text()
        assert all(f"steps={number}" in drawn for number in range(9)), name


@pytest.mark.usefixtures("without_pictures")
def test_the_command_prints_the_summary(
    run_of, runs: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    from harness.cli import main as cli

    run_of("bm25")
    out = tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["memory-harness", "analyse", str(runs), "--out", str(out)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    printed = capsys.readouterr()
    assert stopped.value.code == 0
    assert printed.out == (out / "summary.md").read_text()
    assert printed.err == f"written to {out}\n"
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setattr("sys.argv", ["memory-harness", "analyse", str(empty), "--out", str(out)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert "no finished run" in capsys.readouterr().err
