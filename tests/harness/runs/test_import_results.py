"""Results of FlashRAG as external runs: what is taken, what is refused, what is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import main
from harness.cli.show import story
from harness.data.corpus import Corpus
from harness.data.task import TaskData
from harness.errors import ConfigError, InputError
from harness.runs.flashrag_results import read_flashrag
from harness.runs.import_results import Imported, import_results
from harness.runs.manifest import read_manifest
from harness.runs.scoring import score_run
from harness.testing.models import small_task
from leaderboards.board import build
from tests.harness.conftest import CommandLine

CONFIG = """generator_model: llama3-8B-instruct
retrieval_method: e5
retrieval_topk: 5
seed: 2024
openai_setting: {api_key: sk-secret}
gpu_id: '0'
"""


@pytest.fixture
def data() -> TaskData:
    return small_task()


def items(data: TaskData) -> list[dict[str, Any]]:
    """What FlashRAG's Dataset.save writes, each answered with its first golden answer."""
    return [
        {
            "id": q.id,
            "question": q.text,
            "golden_answers": list(q.golden_answers),
            "output": {
                "pred": q.golden_answers[0],
                "retrieval_result": [_document(data.corpus, id_) for id_ in q.gold_doc_ids],
                "prompt": "a prompt",
                "metric_score": {"em": 0.25},
            },
        }
        for q in data.questions
    ]


def _document(corpus: Corpus, id_: str) -> dict[str, Any]:
    passage = corpus.get(id_)
    return {"id": id_, "contents": f'"{passage.title}"\n{passage.text}', "score": 0.5}


def saved(folder: Path, rows: Any, config: str = CONFIG) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "intermediate_data.json").write_text(json.dumps(rows, indent=4))
    (folder / "config.yaml").write_text(config)
    return folder


def imported(tmp_path: Path, data: TaskData, rows: Any, **options: Any) -> Imported:
    results = read_flashrag(saved(tmp_path / "saved", rows))
    return import_results(results, data, tmp_path / "runs", "flashrag-ircot", **options)


def test_results_become_a_scored_run_that_says_it_is_external(
    tmp_path: Path, data: TaskData
) -> None:
    done = imported(tmp_path, data, items(data))
    manifest = read_manifest(done.folder)
    assert manifest.is_finished
    assert manifest.external is not None
    assert manifest.external.written() == {
        "source": "FlashRAG",
        "model": "llama3-8B-instruct",
        "corpus": "same",
        "told": {"retrieval_method": "e5", "retrieval_topk": "5"},
        "files": manifest.external.files,
    }
    assert manifest.config.seed == 2024
    assert manifest.config.model.name == "llama3-8B-instruct"
    assert "sk-secret" not in (done.folder / "manifest.json").read_text()
    scores = [json.loads(line) for line in (done.folder / "scores.jsonl").read_text().splitlines()]
    assert len(scores) == len(data.questions)
    assert {(s["em"], s["recall@5"], s["recall_read"]) for s in scores} == {(1.0, 1.0, None)}
    assert not (done.folder / "performance.json").exists()
    told = story(tmp_path / "runs", data.questions[0].id)
    assert "not known of external results" in told
    assert score_run(done.folder)
    again = imported(tmp_path, data, items(data))
    assert again.folder == done.folder, "the same results are the same run"


def test_passages_of_another_corpus_are_not_scored(tmp_path: Path, data: TaskData) -> None:
    rows = items(data)
    rows[1]["output"]["retrieval_result"].append({"id": "12", "contents": "another"})
    done = imported(tmp_path, data, rows)
    assert done.corpus == "unknown"
    assert done.reason.startswith("passage '12' of ")
    first = json.loads((done.folder / "scores.jsonl").read_text().splitlines()[0])
    assert first["em"] == 1.0
    assert first.get("recall@5") is None
    assert json.loads((done.folder / "predictions.jsonl").read_text().splitlines()[0])[
        "retrieved_ids"
    ] == []  # fmt: skip


def test_missing_and_strange_questions_are_refused_with_counts(
    tmp_path: Path, data: TaskData
) -> None:
    rows = items(data)
    del rows[0]
    rows[0]["output"] = {}
    rows.append({"id": "other", "question": "Other?", "output": {"pred": "x"}})
    n = len(data.questions)
    with pytest.raises(InputError) as refused:
        imported(tmp_path, data, rows)
    assert f"2 of the {n} questions" in str(refused.value)
    assert f"1 results are of other questions, the first {tmp_path}" in str(refused.value)
    done = imported(tmp_path, data, rows, partial=True)
    assert (done.answered, done.unanswered, done.left_out) == (n - 2, 2, 1)
    assert not read_manifest(done.folder).is_finished
    assert len((done.folder / "unanswered.jsonl").read_text().splitlines()) == 2


def test_other_questions_and_taken_names_are_refused(tmp_path: Path, data: TaskData) -> None:
    rows = items(data)
    rows[2]["question"] += " really"
    with pytest.raises(InputError, match=r"intermediate_data.json\[2\]: asks .* really' as"):
        imported(tmp_path, data, rows)
    with pytest.raises(InputError, match="none of the .* questions of"):
        imported(tmp_path, data, [{"id": "x", "question": "X?", "output": {"pred": "y"}}])
    results = read_flashrag(saved(tmp_path / "saved", items(data)))
    with pytest.raises(ConfigError, match="a method of the harness is called so"):
        import_results(results, data, tmp_path / "runs", "bm25")
    imported(tmp_path, data, items(data))
    changed = items(data)
    changed[0]["output"]["pred"] = "something else"
    with pytest.raises(InputError, match="other results are called 'flashrag-ircot'"):
        imported(tmp_path, data, changed)


def test_results_of_another_model_are_another_row(tmp_path: Path, data: TaskData) -> None:
    runs, rows = tmp_path / "runs", items(data)
    for number, model in enumerate(["one", "two"]):
        config = f"generator_model: {model}\nseed: {number}\n"
        results = read_flashrag(saved(tmp_path / model, rows, config))
        import_results(results, data, runs, "fr-ircot")
    (table,) = build(runs).tables
    assert [row.label for row in table.rows] == ["fr-ircot [one]", "fr-ircot [two]"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{}", r"intermediate_data.json(:1|\[0\])?: "),
        ("[3]", r"intermediate_data.json\[0\]: is no object"),
        ("[]", "holds no item"),
        ('[{"id": NaN}]', r"intermediate_data.json(\[0\])?:? .*"),
        ('[{"question": "q"}]', r"\[0\]: 'id' is missing or empty"),
        ('[{"id": true, "question": "q"}]', r"\[0\]: 'id' is bool"),
        ('[{"id": 1, "question": ["q"]}]', r"\[0\]: 'question' is list"),
        ('[{"id": 1, "question": "q", "output": []}]', r"\[0\]: 'output' is list"),
        ('[{"id": 1, "question": "q", "output": {"pred": 3}}]', r"\[0\]: 'output.pred' is int"),
        ('{"id": 1, "question": "q", "output": {"pred": "\\ud800"}}', r"data.json:1"),
        ('[{"id": 1, "question": "q"}, {"id": "1", "question": "q"}]', r"\[1\]: id '1' was used"),
        (
            '[{"id": 1, "question": "q", "output": {"retrieval_result": "doc"}}]',
            r"\[0\]: 'output.retrieval_result' is str",
        ),
        (
            '[{"id": 1, "question": "q", "output": {"retrieval_result": [["d"]]}}]',
            r"\[0\]: 'output.retrieval_result\[0\]' is list",
        ),
        ('[{"id": 1, "question": "q"', "intermediate_data.json"),
    ],
)
def test_broken_items_are_named(tmp_path: Path, text: str, told: str) -> None:
    folder = saved(tmp_path / "saved", [])
    (folder / "intermediate_data.json").write_text(text)
    with pytest.raises(InputError, match=told) as error:
        read_flashrag(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("partial", [False, True])
def test_ids_cannot_steer_the_terminal(
    tmp_path: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch, partial: bool
) -> None:
    from harness.boards.task_entry import TaskSource

    steering = "\x1b[2Jx\nerror: y\u202e"
    rows = items(TaskSource(name="nq").load(1))
    rows[0]["output"]["retrieval_result"] = [{"id": steering, "contents": "z"}]
    rows.append({"id": steering, "question": "q", "output": {"pred": "a"}})
    folder, more = saved(tmp_path / "saved", rows), ["--partial"] if partial else []
    place = ["--out", tmp_path / "runs", "--name", "mine"]
    done = cli("import-results", "flashrag", folder, "--task", "nq", "--limit", 1, *place, *more)
    assert done.code == (0 if partial else 2)
    assert "[2Jx error: y" in done.err
    assert all(line.isprintable() for line in (done.out + done.err).splitlines())


@pytest.mark.parametrize(
    ("config", "model"),
    [
        ("generator_model: [a, b]", "unknown"),
        ("seed: -3", "unknown"),
        ('generator_model: "a|b\\nc"', "a|b c"),
        (f"generator_model: {'x' * 500}", "x" * 80),
    ],
)
def test_a_config_that_tells_little_is_unknown(tmp_path: Path, config: str, model: str) -> None:
    row = {"id": "1", "question": "q", "output": {"pred": "a"}}
    results = read_flashrag(saved(tmp_path / "saved", [row], config))
    assert (results.model, results.seed) == (model, 0)


@pytest.mark.parametrize(
    "config", ["a: !!python/object/apply:os.getcwd []", "[1]", "a: [", "x" * ((1 << 20) + 1)]
)
def test_a_config_that_cannot_be_read_is_named(tmp_path: Path, config: str) -> None:
    row = {"id": "1", "question": "q", "output": {"pred": "a"}}
    with pytest.raises(InputError, match=r"config.yaml: ") as error:
        read_flashrag(saved(tmp_path / "saved", [row], config))
    assert "\n" not in str(error.value)


def test_a_folder_without_results_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="save_intermediate_data: True"):
        read_flashrag(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        read_flashrag(tmp_path / "absent")


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness.boards.task_entry import TaskSource

    data = TaskSource(name="nq").load(4)
    folder, runs = saved(tmp_path / "saved", items(data)), tmp_path / "runs"
    words = ["import-results", "flashrag", str(folder), "--task", "nq", "--limit", "4"]
    words += ["--out", str(runs), "--name", "mine"]
    monkeypatch.setattr("sys.argv", ["memory-harness", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    assert "4 answers" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["memory-harness", *words[:1], "flashrg", *words[2:]])
    with pytest.raises(SystemExit):
        main()
    assert "did you mean 'flashrag'" in capsys.readouterr().err
