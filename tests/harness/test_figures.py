"""Pictures are written whole, in two formats, and the same data give the same bytes."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from harness.errors import InputError
from harness.figures import save

SVG = "{http://www.w3.org/2000/svg}svg"


def line(height: float = 1.0) -> Figure:
    figure = Figure(figsize=(2, 1))
    axes = figure.subplots()
    axes.plot([0, 1], [0, height], marker="o")
    axes.set_title("a < b & c")
    return figure


def test_both_formats_are_written_and_a_missing_folder_is_made(tmp_path: Path) -> None:
    png, svg = save(line(), tmp_path / "a" / "b", "line")
    assert [path.name for path in (png, svg)] == ["line.png", "line.svg"]
    assert sorted(path.name for path in (tmp_path / "a/b").iterdir()) == ["line.png", "line.svg"]
    assert png.read_bytes().startswith(b"\x89PNG")
    assert ElementTree.fromstring(svg.read_bytes()).tag == SVG


def test_the_same_data_give_the_same_bytes_and_other_data_others(tmp_path: Path) -> None:
    def written(folder: str, height: float) -> list[bytes]:
        return [path.read_bytes() for path in save(line(height), tmp_path / folder, "line")]

    first, again, other = written("1", 1.0), written("2", 1.0), written("3", 2.0)
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))
    assert b"dc:date" not in first[1]


def test_labels_beyond_the_edge_are_not_cut_off(tmp_path: Path) -> None:
    def width(label: str, name: str) -> int:
        figure = line()
        figure.axes[0].set_yticks([0.5], labels=[label])
        png, _ = save(figure, tmp_path, name)
        return int.from_bytes(png.read_bytes()[16:20], "big")

    assert width("a label that is far longer than the picture is wide", "long") > width(
        "a", "short"
    )


def test_a_picture_that_cannot_be_drawn_leaves_the_old_one(tmp_path: Path) -> None:
    png, svg = save(line(), tmp_path, "line")
    before = png.read_bytes(), svg.read_bytes()
    broken = line()
    broken.axes[0].set_title("$\\nothing$")
    with pytest.raises(ValueError, match="nothing"):
        save(broken, tmp_path, "line")
    assert (png.read_bytes(), svg.read_bytes()) == before
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/pictures: cannot write there"):
        save(line(), tmp_path / "file" / "pictures", "line")
