"""The map of memories: alike documents are counted rightly, files are complete and repeatable."""

from __future__ import annotations

import csv
import json
from xml.etree import ElementTree

import numpy as np
import pytest

from harness.boards.task_entry import TaskSource
from harness.errors import ConfigError
from methods.parametric_qa.evaluate.memory_map import chance, map_memories, project, same_title
from methods.parametric_qa.evaluate.memory_map_files import save_map
from methods.parametric_qa.shared.bundle import Bundle, SelectorConfig
from tests.methods.parametric_qa.lab import load_tiny, make_parts


def islands(documents: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Four clouds far apart, and the cloud of each vector."""
    source = np.random.default_rng(seed)
    centres = 20 * source.normal(size=(4, 12))
    own = np.arange(documents) % 4
    return centres[own] + source.normal(size=(documents, 12)), [f"cloud {n}" for n in own]


def test_documents_of_one_article_are_counted_as_neighbours():
    vectors, titles = islands(40)
    assert same_title(vectors, titles) == 1.0
    assert same_title(vectors, [f"title {n // 2}" for n in range(40)]) == 0.0


def test_the_share_agrees_with_a_search_by_hand():
    source = np.random.default_rng(3)
    vectors = source.normal(size=(30, 5))
    titles = [f"t{n}" for n in source.integers(0, 12, size=30)]
    centred = vectors - vectors.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    hits = [
        titles[cosines[i].argmax()] == titles[i] for i in range(30) if titles.count(titles[i]) > 1
    ]
    assert same_title(vectors, titles) == pytest.approx(np.mean(hits))


def test_twins_are_each_others_neighbours():
    vectors = np.repeat(np.eye(4), 2, axis=0)
    assert same_title(vectors, ["a", "a", "b", "b", "c", "c", "d", "d"]) == 1.0


def test_chance_is_that_of_a_random_other_document():
    assert chance(["a", "a", "a", "b", "b", "c"]) == pytest.approx((3 * 2 / 5 + 2 * 1 / 5) / 5)
    assert np.isnan(chance(["a", "b"]))


@pytest.mark.slow
def test_a_projection_keeps_clouds_together_and_repeats_itself():
    vectors, titles = islands(80)
    points = project(vectors, "tsne", seed=0)
    assert points.shape == (80, 2)
    assert same_title(points, titles, cosine=False) == 1.0
    assert np.array_equal(points, project(vectors, "tsne", seed=0))


def test_umap_is_asked_for_by_name_where_it_is_missing():
    with pytest.raises(ConfigError, match=r"lm-memory-harness\[umap\]"):
        try:
            import umap  # noqa: F401
        except ImportError:
            project(islands(20)[0], "umap", seed=0)
        else:
            pytest.skip("UMAP is installed")


@pytest.fixture
def shared(completion_model_dir, tmp_path):
    """Untrained shared parts of the tiny model, saved as trained ones are."""
    parts = make_parts(load_tiny(completion_model_dir))
    Bundle.untrained(parts, SelectorConfig(width=16)).save(tmp_path / "shared")
    return str(tmp_path / "shared")


@pytest.mark.slow
def test_the_map_of_a_task_as_files(completion_model_dir, shared, tmp_path):
    model = f"path:{completion_model_dir}"
    found = map_memories(TaskSource(name="nq"), shared, 40, "tsne", model, "cpu", 0)
    paths = {path.name: path for path in save_map(found, tmp_path / "one", str.upper)}
    assert set(paths) == {"map.csv", "dimensions.csv", "summary.json", "map.png", "map.svg"}
    with paths["map.csv"].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [id_.upper() for id_ in found.ids]
    assert [float(row["x"]) for row in rows] == pytest.approx(found.points[:, 0], abs=1e-4)
    with paths["dimensions.csv"].open(encoding="utf-8", newline="") as file:
        dimensions = list(csv.DictReader(file))
    assert len(dimensions) == 64
    assert float(dimensions[-1]["cumulative_share"]) == pytest.approx(1)
    assert json.loads(paths["summary.json"].read_text())["facts"]["documents"] == 40
    assert ElementTree.parse(paths["map.svg"]).getroot().tag.endswith("svg")
    again = map_memories(TaskSource(name="nq"), shared, 40, "tsne", model, "cpu", 0)
    for path in save_map(again, tmp_path / "two", str.upper):
        assert path.read_bytes() == paths[path.name].read_bytes(), path.name


def test_too_few_documents_are_refused(shared, completion_model_dir):
    with pytest.raises(ConfigError, match="map of 3 documents shows nothing; take 8 or more"):
        map_memories(
            TaskSource(name="nq"), shared, 3, "tsne", f"path:{completion_model_dir}", "cpu", 0
        )
