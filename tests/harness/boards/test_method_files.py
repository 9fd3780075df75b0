"""Files that a method brings: its adapter is in place while it works, and all count in run ids."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import Field

from harness.boards.config import parse_board
from harness.boards.run import plan_runs, run_plans
from harness.errors import CapabilityError, InputError
from harness.fingerprint import folder_fingerprint
from harness.method import Method
from harness.records import StorageReport
from harness.registry import register_method
from harness.runs.directory import find_runs
from harness.runs.execute import execute
from harness.runs.manifest import read_manifest
from harness.runs.performance import read_performance
from harness.runs.write_phase import memory_path
from harness.testing.conformance import check_method
from tests.harness.lab import Ask, CountingModel, Remember, make_plan, quiet, without_torch


class Adaptable(CountingModel):
    """Notes which adapter was in place whenever it was asked."""

    def __init__(self) -> None:
        super().__init__(lambda _: self.seen.append(self.adapter))
        self.adapter: Path | None = None
        self.seen: list[Path | None] = []

    @contextmanager
    def adapted(self, folder: Path | None) -> Iterator[None]:
        self.adapter = folder
        yield
        self.adapter = None


class Tuned(Remember):
    """Its reader was fine-tuned; the model must have the adapter when the memory is written."""

    class Params(Method.Params):
        reader: str = Field("", description="folder of the adapter")

    @property
    def adapter(self) -> Path | None:
        return Path(self.params.reader) if self.params.reader else None

    def write(self, corpus, train, folder) -> None:
        super().write(corpus, train, folder)
        self.llm.model.seen.append(self.llm.model.adapter)


class Reads(Ask):
    """Says what a file holds."""

    class Params(Method.Params):
        folder: str = Field("", description="a folder of files")

    @property
    def inputs(self) -> dict[str, str]:
        path = self.params.folder
        return {"notes": folder_fingerprint(Path(path))} if path else {}


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    """A folder with an adapter's two files."""
    folder = tmp_path / "reader"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def plan(files: Path):
    """The plan of one method on the small task, as a board makes it."""

    def make(name: str, cls: type[Method] | None = None, **params):
        if cls is not None:
            register_method(name, cls)
        paths = {kind: str(files / f"{kind}.jsonl") for kind in ("questions", "corpus", "train")}
        content = {
            "name": "b", "methods": [{"name": name, "params": params}],
            "tasks": [{"name": "toy", "files": paths}], "latency": {"queries": 2},
        }  # fmt: skip
        (found,) = plan_runs(parse_board(content, "board.yaml"), "cpu")
        return found

    return make


# Adapters


def test_the_adapter_is_in_place_for_writing_answering_and_timing(files, tmp_path, reader) -> None:
    model = Adaptable()
    plan = make_plan(files, Tuned(Tuned.Params(reader=str(reader))), queries=2)
    folder = execute(plan, tmp_path / "runs", model, None, quiet())
    assert len(read_performance(folder).latency.seconds) == 2
    # One look while writing, a call for each of 24 questions, 2 timed ones and a warm-up.
    assert len(model.seen) == 1 + 24 + 2 + 1
    assert set(model.seen) == {reader}
    assert model.adapter is None
    plain = Adaptable()
    execute(make_plan(files, Tuned()), tmp_path / "plain", plain, None, quiet())
    assert set(plain.seen) == {None}


def test_a_model_that_takes_no_adapter_stops_the_run_before_any_work(
    plan, tmp_path, reader, monkeypatch
) -> None:
    monkeypatch.setattr("harness.llm.open.open_model", lambda *_, **__: CountingModel())
    with pytest.raises(CapabilityError, match=r"model 'rules' cannot take .*reader"):
        run_plans([plan("tuned", Tuned, reader=str(reader))], tmp_path / "runs", quiet())
    assert not (tmp_path / "runs").exists()


def test_a_missing_adapter_is_told_when_the_run_is_planned(plan, reader) -> None:
    (reader / "adapter_model.safetensors").rename(reader / "adapter_model.bin")
    with pytest.raises(InputError, match=r"reader holds no adapter_model.safetensors; save") as e:
        plan("tuned", Tuned, reader=str(reader))
    assert "\n" not in str(e.value)


def test_the_adapters_content_is_part_of_the_runs_identity(plan, reader) -> None:
    first = plan("tuned", Tuned, reader=str(reader)).config
    (reader / "README.md").write_text("not read")
    assert plan("tuned", Tuned, reader=str(reader)).config.run_id == first.run_id
    (reader / "adapter_model.safetensors").write_bytes(b"other weights")
    assert plan("tuned", Tuned, reader=str(reader)).config.run_id != first.run_id


class TunedAndSaved(Ask):
    """Answers only while its adapter is in place."""

    @property
    def adapter(self) -> Path | None:
        return Path("reader")

    def write(self, corpus, train, folder) -> None:
        assert self.llm.model.adapter == Path("reader")

    def load(self, folder) -> None:
        assert self.llm.model.adapter == Path("reader")

    def storage(self) -> StorageReport:
        return StorageReport({}, 10)


def test_check_method_gives_the_model_the_adapter() -> None:
    with pytest.raises(CapabilityError, match=r"cannot take .*check_method\(…, model=…\)"):
        check_method(TunedAndSaved)
    model = Adaptable()
    check_method(TunedAndSaved, model=model)
    assert set(model.seen) == {Path("reader")}


# Inputs


def test_runs_of_methods_without_files_keep_their_ids(plan) -> None:
    config = plan("no-retrieval").config
    assert "inputs" not in config.written()["method"]
    # As published runs have it; a change here makes all of them be done again.
    assert config.run_id == "1c9aa899d2ae"
    assert plan("reads", Reads).config.method.written().keys() == config.method.written().keys()


def test_what_a_file_holds_is_part_of_the_run_and_of_its_memory(plan, tmp_path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.txt").write_text("one")
    configs = [plan("reads", Reads, folder=str(notes)).config]
    (notes / "a.txt").write_text("two")
    configs += [plan("reads", Reads, folder=str(notes)).config for _ in range(2)]
    ids = [config.run_id for config in configs]
    assert ids[0] != ids[1] == ids[2]
    places = [memory_path(tmp_path, config, Reads) for config in configs]
    assert places[0] != places[1] == places[2]
    assert list(configs[0].method.inputs) == ["notes"]


def test_a_changed_file_makes_a_new_run(plan, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("harness.llm.open.open_model", lambda *_, **__: CountingModel())
    notes, out = tmp_path / "notes", tmp_path / "runs"
    notes.mkdir()
    for text in ("one", "two", "two"):
        (notes / "a.txt").write_text(text)
        run_plans([plan("reads", Reads, folder=str(notes))], out, quiet())
    runs = find_runs(out)
    assert len(runs) == 2
    held = [json.loads((run / "manifest.json").read_text())["config"]["method"] for run in runs]
    assert len({method["inputs"]["notes"] for method in held}) == 2


def test_a_folders_fingerprint_is_its_names_and_contents(tmp_path) -> None:
    def folder(name: str, **contents: str) -> Path:
        for key, text in contents.items():
            path = tmp_path / name / key.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / name

    one = folder_fingerprint(folder("one", a="x", sub__b="y"))
    assert folder_fingerprint(folder("two", sub__b="y", a="x")) == one
    others = [{"a": "x"}, {"a": "x", "b": "y"}, {"a": "y", "sub__b": "x"}, {"a": "x", "sub__b": ""}]
    found = [folder_fingerprint(folder(f"other{n}", **o)) for n, o in enumerate(others)]
    assert len({one, *found}) == 1 + len(others)
    (tmp_path / "two" / ".cache").mkdir()
    (tmp_path / "two" / ".cache" / "when").write_text("today")
    assert folder_fingerprint(tmp_path / "two") == one
    (tmp_path / "two" / "log").write_text("today")
    assert folder_fingerprint(tmp_path / "two") != one
    assert folder_fingerprint(tmp_path / "two", ("a", "sub")) == one


class Placed(Ask):
    """Has a parameter that JSON does not know."""

    class Params(Method.Params):
        place: Path | None = Field(None, description="a folder")


def test_a_parameter_may_be_a_path(plan, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("harness.llm.open.open_model", lambda *_, **__: CountingModel())
    (folder,) = run_plans([plan("placed", Placed, place="here")], tmp_path / "runs", quiet())
    assert read_manifest(folder).non_default_params == {"place": "here"}
    (folder,) = run_plans([plan("placed", Placed)], tmp_path / "runs", quiet())
    assert read_manifest(folder).non_default_params == {}


def test_what_train_questions_say_beside_their_text_is_part_of_the_identity(plan, files) -> None:
    plain = plan("no-retrieval").config
    assert plain.task.train_metadata is None

    def say(**metadata) -> str:
        lines = (files / "train.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        for row in rows:
            row["metadata"] |= metadata
        (files / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        config = plan("no-retrieval").config
        assert config.task.train_fingerprint == plain.task.train_fingerprint
        return config.run_id

    assert len({plain.run_id, say(hops=1), say(hops=2)}) == 3
    (shipped,) = plan_runs(
        parse_board({"name": "b", "tasks": ["musique"], "methods": ["no-retrieval"]}, "x"), "cpu"
    )
    assert "train_metadata" not in shipped.config.task.written()  # its card vouches for it
