"""Records of a run: what decides its id, what is kept, and errors that name file, field and fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InputError
from harness.files import write_json
from harness.fingerprint import fingerprint
from harness.llm.catalogue import DEFAULT_MODEL, resolve_model
from harness.runs.manifest import ModelSettings, RunConfig, read_manifest
from harness.runs.performance import Performance, read_performance, update_performance
from harness.runs.write_phase import memory_id
from tests.harness.lab import Remember
from tests.harness.runs.records import config, manifest

# As a release before these records wrote it, but for the shortened lists.
PUBLISHED: dict[str, Any] = {
    "task": {
        "name": "hotpotqa",
        "split": "sample",
        "limit": 3,
        "questions": 3,
        "questions_fingerprint": "b85f4408b56c0f55b58771c4708cbfee5ec7ba727ebbf0e64026f8788787a0b0",
        "passages": 10431,
        "corpus_fingerprint": "72270b6777b83650e7802e7f8d89f70fe0612a2782907a5784ed30be6fadc318",
        "train_fingerprint": "fc7722c2868f8d8a8f7bbb9129ad96b666814b01aa6328261f5f89e60693241f",
    },
    "method": {
        "name": "no-retrieval",
        "version": 1,
        "prompt_format": 1,
        "params": {"shots": 4, "max_tokens": 32},
    },
    "model": {
        "name": "smollm2-135m-instruct",
        "kind": "transformers",
        "path": "",
        "revision": None,
        "prompt_style": "completion",
        "dtype": "float32",
        "quantization": None,
        "adapter": None,
        "gguf_file": None,
        "window": None,
        "trust_remote_code": False,
        "weights_sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    },
    "retriever": None,
    "seed": 1,
    "schema_version": 1,
}


def test_the_id_covers_the_meaning_of_a_config() -> None:
    same = config(model={"name": "m", "dtype": "float32"})
    swapped = config(model={"dtype": "float32", "name": "m"})
    assert same.run_id == swapped.run_id != config().run_id
    assert len({config(seed=seed).run_id for seed in range(5)}) == 5
    assert config().folder(Path("runs")) == Path("runs/nq/bm25") / config().run_id


def test_a_published_config_keeps_its_ids() -> None:
    published = RunConfig.model_validate(PUBLISHED)
    assert published.run_id == "194d868bfcce"
    assert json.dumps(published.written()) == json.dumps(PUBLISHED)
    about = ("split", "limit", "questions", "questions_fingerprint")
    task = {key: value for key, value in PUBLISHED["task"].items() if key not in about}
    assert memory_id(published, Remember) == fingerprint({**PUBLISHED, "task": task})[:12]


@pytest.mark.parametrize("part", ["task", "method", "model", None])
def test_what_this_release_does_not_know_tells_runs_apart(part: str | None) -> None:
    changed = PUBLISHED | ({part: PUBLISHED[part] | {"new": 1}} if part else {"new": 1})
    other = RunConfig.model_validate(changed)
    assert other.run_id == fingerprint(changed)[:12] != "194d868bfcce"
    assert other.written() == changed


def test_the_second_version_of_a_task_is_another_run_and_another_table() -> None:
    first, second = config(), config(task={"version": 2})
    assert first.run_id != second.run_id
    tables = [manifest(config=each).comparable(2) for each in (first, second)]
    assert tables[0] != tables[1]
    assert tables[1]["task.version"] == 2


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", "a..b", "A", "x\n", "~", "a b"])
@pytest.mark.parametrize("part", ["task", "method"])
def test_names_that_leave_the_folder_are_refused(name: str, part: str) -> None:
    with pytest.raises(InputError, match=f"{part} name .* cannot become a folder"):
        config(**{part: {"name": name}}).folder(Path("runs"))


def test_a_manifest_is_written_as_it_was_read(tmp_path: Path) -> None:
    values = {**manifest().written(), "hardware": {"fingerprint": "x", "rack": 7}, "later": [1]}
    write_json(tmp_path / "manifest.json", values)
    found = read_manifest(tmp_path)
    assert found.written() == values
    assert found.model_copy(update={"status": "finished"}).written() == values | {
        "status": "finished"
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a run manifest"),
        ('{"status": "finished"}', "not a run manifest"),
        ('{"schema_version": 99, "config": {}, "status": ""}', "schema version 99"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_named(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=rf"manifest.json: {problem}"):
        read_manifest(tmp_path)


def test_the_field_that_is_wrong_is_named_with_the_fix(tmp_path: Path) -> None:
    values = manifest().written()
    values["config"]["task"]["questions"] = -1
    write_json(tmp_path / "manifest.json", values)
    with pytest.raises(InputError, match=r"config\.task\.questions: .*; restore or delete the run"):
        read_manifest(tmp_path)


def test_another_releases_schema_is_read_where_it_is_kept_apart(tmp_path: Path) -> None:
    write_json(tmp_path / "manifest.json", manifest(schema_version=2).written())
    assert read_manifest(tmp_path, any_schema=True).schema_version == 2
    with pytest.raises(InputError, match="schema version 2, this release reads 1"):
        read_manifest(tmp_path)


def test_performance_entries_are_merged(tmp_path: Path) -> None:
    assert read_performance(tmp_path) == Performance()
    update_performance(tmp_path, usage={"llm_calls": 1}, later={"watts": 3})
    update_performance(tmp_path, latency={"seconds": [1]})
    merged = {"usage": {"llm_calls": 1}, "latency": {"seconds": [1]}, "later": {"watts": 3}}
    assert read_performance(tmp_path).written() == merged
    stored = json.loads((tmp_path / "performance.json").read_text())
    assert stored.pop("seal") and stored == merged


@pytest.mark.parametrize(
    ("spec", "device", "called"),
    [
        (DEFAULT_MODEL, "cpu", DEFAULT_MODEL),
        ({"name": DEFAULT_MODEL, "dtype": "float32"}, "cpu", DEFAULT_MODEL),
        ({"name": DEFAULT_MODEL, "dtype": "float32"}, "cuda", DEFAULT_MODEL),
        (DEFAULT_MODEL, "cuda", f"{DEFAULT_MODEL}-bfloat16"),
        ({"name": DEFAULT_MODEL, "dtype": "bfloat16"}, "cpu", f"{DEFAULT_MODEL}-bfloat16"),
        (
            {"name": DEFAULT_MODEL, "dtype": "bfloat16", "quantization": "nf4"},
            "cuda",
            f"{DEFAULT_MODEL}-nf4-bfloat16",
        ),
        (
            {"name": DEFAULT_MODEL, "quantization": "nf4"},
            "cuda",
            f"{DEFAULT_MODEL}-nf4-bfloat16",
        ),
        ("openai:my-model@http://localhost:1/v1", "cpu", "my-model"),
    ],
)
def test_one_setting_of_a_model_has_one_name_on_every_machine(
    spec: str | dict[str, str], device: str, called: str
) -> None:
    config = resolve_model(spec).on(device)
    assert ModelSettings(name=config.name, **config.settings()).called == called


def test_what_tables_call_a_model_changes_no_run_id() -> None:
    name = f"{PUBLISHED['model']['name']}-float32"
    named = {**PUBLISHED, "model": {**PUBLISHED["model"], "name": name, "dtype": "float32"}}
    plain = {**PUBLISHED, "model": {**PUBLISHED["model"], "dtype": "float32"}}
    ids = [RunConfig.model_validate(each).run_id for each in (named, plain)]
    tables = [manifest(config=RunConfig.model_validate(each)) for each in (named, plain)]
    assert ids[0] != ids[1], "each goes on in its own folder"
    assert tables[0].config.written()["model"]["name"] == name
    assert tables[0].comparable(1) == tables[1].comparable(1)
