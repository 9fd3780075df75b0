"""Installed packages that bring names: found without an import, and broken ones hurt nobody."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import pytest

from harness.boards import matrix as matrices
from harness.boards.method_entry import load_method
from harness.errors import ConfigError
from harness.formats.open import format_class
from harness.llm.catalogue import catalogue, resolve_model
from harness.metrics import check_metrics, score_answer
from harness.registry import (
    KINDS,
    board_file,
    broken,
    find,
    importing,
    load,
    load_plugin,
    names,
    one,
    register_method,
    task_folder,
)
from harness.retrieval.catalogue import encoder_entry
from harness.retrieval.open import retriever_config
from harness.runs.provenance import package_versions
from tests.harness.conftest import CommandLine
from tests.harness.registry.conftest import Site
from tests.harness.registry.test_plugins import RETRIEVER

FLY = "from tests.harness.lab import Ask as Fly\n"
METHODS = "[memory_harness.methods]\n"
MODULES = "[memory_harness.plugins]\n"


# Names are known from metadata


def test_ten_packages_and_only_the_one_that_is_named_is_imported(
    site: Site, cli: CommandLine, tmp_path: Path
) -> None:
    for i in range(10):
        site.install(f"p{i}", f"{METHODS}fly{i} = wing{i}:Fly\n", **{f"wing{i}": FLY})
    site.install("tables", f"{MODULES}tables = tables\n", tables="METHODS = {'slow': 'a:B'}")
    run = ("--task", "nq", "--limit", 1, "--latency-queries", 0, "-p", "shots=0")
    done = cli("run", "--method", "bm25", *run, "--out", tmp_path / "a")
    assert (done.code, site.imported) == (0, set())
    assert cli("run", "--method", "fly3", *run, "--out", tmp_path / "b").code == 0
    assert site.imported == {"wing3"}
    assert cli("describe", "fly4").out.startswith("method: fly4\n")
    assert site.imported == {"wing3", "wing4"}
    assert {f"fly{i}" for i in range(10)} <= set(names("methods"))
    assert site.imported == {"wing3", "wing4", "tables"}  # whose names are known by its tables


def test_a_manifest_says_which_packages_were_used(site: Site) -> None:
    site.install("feathers", f"{METHODS}fly = wing:Fly\n", version="1.2", wing=FLY)
    site.install("fins", f"{MODULES}dive = fin\n", version="2.0", fin="METHODS = {'swim': 'a:B'}")
    site.install("claws", f"{METHODS}dig = claw:Dig\n")
    find("methods", "fly"), find("methods", "swim"), find("methods", "bm25")
    assert {"feathers": "1.2", "fins": "2.0"}.items() <= package_versions().items()
    assert "claws" not in package_versions()


def test_listing_one_kind_imports_what_shows_a_line_of_it(site: Site, cli: CommandLine) -> None:
    points = f"{METHODS}fly = wing:Fly\n[memory_harness.metrics]\nhalf = beak:half\n"
    site.install("feathers", points, wing=FLY, beak="def half(a, golds):\n    'Half.'")
    assert "half                             Half.\n" in cli("list", "metrics").out
    assert site.imported == {"beak"}


# Every kind


ZOO = f"""
{FLY}{RETRIEVER}
from harness.boards.preparation import Work
from harness.formats.base import Format

class Doodles(Format):
    summary, source = "Doodles", "a folder of them"
    def read(self, source): return iter(())

class Feed(Work):
    feed: str
    def make(self, folder, device, console): ...

TASK, BOARD, RESULTS = "data/zoo", "birds.yaml", "seen.tar.zst"
PARROT = {{"path": "birds/parrot", "licence": "MIT"}}
BEAK = {{"hub": "birds/beak",
        "settings": {{"query_prefix": "q: ", "passage_prefix": "", "normalize": True}}}}

def half(prediction, golds): return 0.5
def counts(runs): return {{}}
def sing(): print("la")
"""
ZOO_POINTS = {
    "methods": ("fly", "zoo:Fly"),
    "tasks": ("zoo", "zoo:TASK"),
    "boards": ("birds", "zoo:BOARD"),
    "commands": ("sing", "zoo:sing"),
    "preparations": ("feed", "zoo:Feed"),
    "models": ("parrot-1b", "zoo:PARROT"),
    "encoders": ("beak", "zoo:BEAK"),
    "retrievers": ("last", "zoo:Last"),
    "metrics": ("half", "zoo:half"),
    "formats": ("doodles", "zoo:Doodles"),
    "frames": ("counts", "zoo:counts"),
    "results": ("seen", "zoo:RESULTS"),
}


def test_every_kind_has_an_entry_point(site: Site, cli: CommandLine) -> None:
    groups = [f"[memory_harness.{kind}]\n{n} = {value}" for kind, (n, value) in ZOO_POINTS.items()]
    site.install("zoo-pkg", "\n".join(groups), zoo=ZOO)
    (site.folder / "data" / "zoo").mkdir(parents=True)
    (site.folder / "data" / "zoo" / "task.yaml").write_text("name: zoo\ntitle: Zoo\n")
    (site.folder / "birds.yaml").write_text("name: birds\nmethods: [fly]\ntasks: [zoo]\n")

    (site.folder / "seen.tar.zst").write_bytes(b"packed")

    assert set(ZOO_POINTS) == set(KINDS)
    assert load("results", "seen") == site.folder / "seen.tar.zst"
    assert load_method("fly").__name__ == "Ask"
    assert task_folder("zoo") == site.folder / "data" / "zoo"
    assert board_file("birds") == site.folder / "birds.yaml"
    assert cli("sing").out == "la\n"
    assert load("preparations", "feed").__name__ == "Feed"
    assert resolve_model("parrot-1b").path == "birds/parrot"
    assert encoder_entry("beak").settings.query_prefix == "q: "
    assert retriever_config("beak")["hub"] == "birds/beak"
    assert retriever_config("last", {"newest": 2}) == {"kind": "last", "newest": 2}
    assert format_class("doodles").source == "a folder of them"
    assert load("frames", "counts")("runs") == {}
    check_metrics(["half"], "here")
    assert score_answer("a", None, ["b"], [], added=["half"])["half"] == 0.5
    assert "Commands of zoo-pkg 1.0:\n  sing" in cli("--help").out
    for kind, (name, _) in ZOO_POINTS.items():
        assert name in [line.split()[0] for line in cli("list", kind).out.splitlines()]
        assert cli("describe", name).out.startswith(f"{one(kind)}: {name}\n")
    assert broken(tried=True) == {}


def test_a_package_may_hold_a_task_or_board_by_its_folder_alone(site: Site) -> None:
    points = "[memory_harness.tasks]\nzoo = aviary.zoo\n[memory_harness.boards]\nbirds = aviary\n"
    site.install("zoo-pkg", points)
    (site.folder / "aviary" / "zoo").mkdir(parents=True)
    (site.folder / "aviary" / "zoo" / "task.yaml").write_text("name: zoo\n")
    (site.folder / "aviary" / "birds.yaml").write_text("name: birds\n")
    assert task_folder("zoo") == site.folder / "aviary" / "zoo"
    assert board_file("birds") == site.folder / "aviary" / "birds.yaml"


def test_a_plug_in_module_brings_tables_without_being_named(site: Site, cli: CommandLine) -> None:
    text = (
        "def fly():\n    'Fly away.'\n    print('gone')\nCOMMANDS = {'fly': fly}\n"
        "MODELS = {'parrot-1b': {'path': 'birds/parrot', 'licence': 'MIT'}}\n"
    )
    site.install("feathers", f"{MODULES}feathers = feathers\n", feathers=text)
    assert "Commands of feathers:\n  fly " in cli("--help").out
    assert cli("fly").out == "gone\n"
    assert "parrot-1b" in cli("list", "models").out


def test_a_plug_in_module_may_register_names_itself(site: Site) -> None:
    text = "from harness.registry import register\nregister('metrics', 'half', 'a:b')\n"
    site.install("feathers", f"{MODULES}feathers = feathers\n", feathers=text)
    check_metrics(["half"], "here")
    assert broken() == {}


# Broken ones


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1 / 0", r"ZeroDivisionError: division by zero \(.*/wing.py:1\)$"),
        ("def Fly(:", r"SyntaxError: .*/wing.py:1\)$"),
        ("import no_such_module", r"No module named 'no_such_module' \(.*/wing.py:1\)$"),
        ("import sys; sys.exit('bye')", r"SystemExit: bye \(.*/wing.py:1\)$"),
        ("import pytest; pytest.skip('no', allow_module_level=True)", "Skipped: "),
        ("Flew = 1", "AttributeError: module 'wing' has no attribute 'Fly'$"),
        (None, "ModuleNotFoundError: No module named 'wing'$"),
    ],
)
def test_a_method_that_cannot_be_imported_says_so_by_name(
    site: Site, cli: CommandLine, monkeypatch: pytest.MonkeyPatch, text: str | None, why: str
) -> None:
    modules = {} if text is None else {"wing": text}
    site.install("feathers", f"{METHODS}fly = wing:Fly\n", **modules)
    found = "method 'fly' of feathers 1.0 cannot be loaded from 'wing:Fly': .*" + why
    with pytest.raises(ConfigError, match=found):
        load_method("fly")
    listed = cli("list", "methods")
    (line,) = [line for line in listed.out.splitlines() if line.startswith("fly ")]
    assert line.startswith("fly                              cannot be used: method 'fly' of feath")
    assert (listed.code, "\nbm25 " in listed.out) == (0, True)
    monkeypatch.setattr(matrices, "names", lambda kind: ["fly"])
    ((_, *cells),) = matrices.matrix()
    assert set(cells) == {"no: cannot be loaded"}
    assert "method 'fly' of feathers 1.0" in broken(tried=True)


WRONG = """
from pydantic import Field
from harness import MethodParams
class Card(Fly):
    card = {"title": "Card"}
class Plain(Fly):
    Params = dict
class Needy(Fly):
    class Params(MethodParams):
        depth: int = Field(description="must be given")
"""


def test_a_class_that_is_none_takes_no_list_and_no_matrix_down(
    site: Site, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = "".join(f"{name.lower()} = wing:{name}\n" for name in ("Card", "Plain", "Needy"))
    site.install("feathers", METHODS + points, wing=FLY + WRONG)
    listed = cli("list", "methods").out
    assert "cannot be used: method 'card': card is {'title': 'Card'}, not a MethodCard" in listed
    assert "cannot be used: method 'plain': write class Params(MethodParams) in Plain" in listed
    assert "\nbm25 " in listed
    monkeypatch.setattr(matrices, "names", lambda kind: ["needy", "bm25"])
    (_, *needy), (_, *bm25) = matrices.matrix()
    assert (set(needy), set(bm25)) == ({"no: it cannot be made of its defaults"}, {"yes"})


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        (
            "methods",
            "json:dumps",
            "'json:dumps' of feathers 1.0 is not a subclass of harness.method",
        ),
        ("methods", "json", "it names no object; write MODULE:OBJECT"),
        ("methods", "not a value!:x", "No module named"),
        ("tasks", "json:dumps", "is no path"),
        ("tasks", "wing:PLACE", r"there is no .*/gone/task.yaml; is it among the package-data"),
        ("tasks", "wing", r"there is no package \(a folder\) 'wing'"),
        ("boards", "wing:PLACE", r"there is no .*/gone; is it among the package-data"),
        ("models", "json:dumps", "is not a dictionary of fields"),
        ("models", "wing:MODEL", "no option 'pth'; did you mean 'path'"),
        ("encoders", "json:dumps", "is not a dictionary of fields"),
        ("encoders", "wing:MODEL", "encoder 'fly' of a plug-in: settings: field required"),
        ("retrievers", "json:dumps", "is not a subclass of Retriever"),
        ("commands", "wing:PLACE", "'gone' is neither a function nor a class"),
        ("metrics", "wing:PLACE", "'gone' is neither a function nor a class"),
    ],
)
def test_something_else_than_was_promised(
    site: Site, cli: CommandLine, kind: str, value: str, why: str
) -> None:
    text = "PLACE, MODEL = 'gone', {'pth': 'birds/fly'}"
    site.install("feathers", f"[memory_harness.{kind}]\nfly = {value}\n", wing=text)
    ask = {
        "methods": load_method, "tasks": task_folder, "boards": board_file,
        "models": resolve_model, "encoders": encoder_entry, "retrievers": retriever_config,
        "commands": partial(load, "commands"), "metrics": partial(load, "metrics"),
    }  # fmt: skip
    with pytest.raises(ConfigError, match=why) as raised:
        ask[kind]("fly")
    assert f"{kind.removesuffix('s')} 'fly'" in str(raised.value)
    listed = cli("list", kind)
    assert listed.code == 0
    assert "\nfly                              cannot be used: " in f"\n{listed.out}"
    assert len(listed.out.splitlines()) > 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("METHODS = {'bm25': int}", "method 'bm25' exists already, in methods"),
        ("METHODS = ['a']", "METHODS must be a dictionary"),
        ("x = 1", "offers nothing"),
    ],
)
def test_a_broken_plug_in_module_is_named_and_breaks_nothing(
    site: Site, cli: CommandLine, text: str, why: str
) -> None:
    site.install("feathers", f"{MODULES}feathers = feathers\n", feathers=text)
    shown = cli("--help")
    assert shown.err == ""
    assert "Commands of methods:" in shown.out
    assert "Plug-ins that cannot be used:\n  feathers" in shown.out
    assert why in " ".join(shown.out.split())
    listed = cli("list", "boards")
    assert "quickstart" in listed.out
    assert listed.err.startswith("plug-in 'feathers' cannot be used: ")
    line = cli.refuses("run", "--method", "bm26", "--task", "nq")
    assert line.startswith("error: unknown method 'bm26'; did you mean 'bm25'?")
    assert "; plug-in 'feathers' cannot be used: " in line


def test_one_bad_name_of_a_plug_in_leaves_its_others(site: Site) -> None:
    text = FLY + "METHODS = {'bm25': Fly, 'fly': Fly}"
    site.install("feathers", f"{MODULES}feathers = feathers\n", feathers=text)
    assert load_method("fly").__name__ == "Ask"
    assert load_method("bm25").__name__ == "BM25"
    assert "method 'bm25' exists already" in broken()["feathers"]


def test_metadata_that_cannot_be_read_hides_no_other_package(site: Site, cli: CommandLine) -> None:
    site.install("wreck", "[memory_harness.methods]\nno equals sign\n")
    site.install("feathers", f"{METHODS}fly = wing:Fly\n../x = wing:Fly\n", wing=FLY)
    assert load_method("fly").__name__ == "Ask"
    found = broken()
    assert found["wreck 1.0"].startswith("its entry_points.txt cannot be read (")
    assert "name '../x' cannot become a folder" in found["method '../x' of feathers 1.0"]


def test_a_package_without_metadata_is_still_placed(site: Site) -> None:
    info = site.install("feathers", f"{METHODS}fly = wing:Fly\n")
    (info / "METADATA").unlink()
    with pytest.raises(ConfigError, match=r"method 'fly' of a package in .*site cannot be loaded"):
        load_method("fly")


def test_a_command_that_is_none_is_refused_in_one_line(site: Site, cli: CommandLine) -> None:
    site.install("feathers", "[memory_harness.commands]\nfly = wing:FLY\n", wing="FLY = 3")
    assert "fly                  command 'fly': 3 is neither a function" in cli("--help").out
    assert "command 'fly': 3 is neither a function nor a class" in cli.refuses("fly")
    assert "command 'fly' of feathers 1.0" in broken(tried=True)


def test_a_plug_in_that_takes_the_output_away_gives_it_back(site: Site, cli: CommandLine) -> None:
    taking = "import io, sys\nsys.stdout = sys.stderr = io.StringIO()\n1 / 0\n"
    site.install("feathers", f"{MODULES}feathers = wing\n", wing=taking)
    listed = cli("list", "methods")
    assert "\nbm25 " in listed.out
    assert listed.err.startswith("plug-in 'feathers' cannot be used: ZeroDivisionError")


def test_what_a_plug_in_prints_is_not_in_the_output(site: Site, cli: CommandLine) -> None:
    site.install("feathers", f"{METHODS}fly = wing:Fly\n", wing=f"print('hello')\n{FLY}")
    listed = cli("list", "methods")
    assert "hello" not in listed.out
    assert listed.err == "hello\n"


def test_a_slow_import_says_whose_it_is(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(importing, "PATIENCE", 0.01)
    slow = f"import time\ntime.sleep(0.1)\n{FLY}"
    site.install("feathers", f"{METHODS}fly = wing:Fly\n", wing=slow)
    with caplog.at_level(logging.WARNING):
        load_method("fly")
    assert caplog.messages == ["importing method 'fly' of feathers 1.0 takes more than 0.01 s"]


# One name, two things


def test_a_name_of_the_house_stays_its_own(site: Site, cli: CommandLine) -> None:
    points = f"{METHODS}bm25 = wing:Fly\n[memory_harness.models]\nsmollm2-135m-instruct = wing:M\n"
    site.install("feathers", points, wing="1 / 0")
    assert load_method("bm25").__name__ == "BM25"
    assert catalogue()["smollm2-135m-instruct"].wheel is not None
    found = broken()
    assert "exists already, in methods" in found["method 'bm25' of feathers 1.0"]
    assert "in harness" in found["model 'smollm2-135m-instruct' of feathers 1.0"]
    assert "plug-in method 'bm25' of feathers 1.0 cannot be" in cli("list", "methods").err
    assert site.imported == set()


def test_of_two_packages_with_one_name_neither_wins(site: Site, cli: CommandLine) -> None:
    site.install("feathers", f"{METHODS}fly = wing:Fly\nglide = wing:Fly\n", wing=FLY)
    site.install("fins", f"{METHODS}fly = fin:Fly\n", version="2.0", fin=FLY)
    both = r"'fly' is offered by .*(feathers 1.0 \(wing:Fly\)|fins 2.0 \(fin:Fly\)|.*and by ){3}"
    with pytest.raises(ConfigError, match=both):
        load_method("fly")
    assert site.imported == set()
    assert "fly" not in names("methods")
    assert "\nfly                              cannot be used: " in cli("list", "methods").out
    assert load_method("glide").__name__ == "Ask"
    with pytest.raises(ConfigError, match="'fly' is offered by "):
        register_method("fly", "fin:Fly")
    register_method("fly-of-fins", "fin:Fly")
    assert load_method("fly-of-fins").__name__ == "Ask"


def test_two_packages_that_offer_the_same_thing_agree(site: Site) -> None:
    for name in ("feathers", "feathers-renamed"):
        site.install(name, f"{METHODS}fly = wing:Fly\n", wing=FLY)
    assert load_method("fly").__name__ == "Ask"
    assert broken() == {}


def test_of_two_modules_with_one_name_neither_wins(site: Site) -> None:
    for name in ("feathers", "fins"):
        text = f"METHODS = {{'fly': '{name}:Fly', 'by-{name}': '{name}:Fly'}}\nclass Fly: ..."
        site.install(name, f"{MODULES}{name} = {name}\n", **{name: text})
    with pytest.raises(ConfigError, match="unknown method 'fly'") as raised:
        load_method("fly")
    assert "plug-in 'feathers' cannot be used: method 'fly' exists already" in str(raised.value)
    assert {"by-feathers", "by-fins"} <= set(names("methods"))
    assert broken()["fins"] == "method 'fly' exists already, in feathers; choose another name"


def test_a_name_in_metadata_goes_before_one_in_a_table(site: Site) -> None:
    site.install("feathers", f"{METHODS}fly = wing:Fly\n", wing=FLY)
    site.install("fins", f"{MODULES}fins = fins\n", fins="METHODS = {'fly': int}")
    for _ in range(2):  # before the tables are known, and after
        assert load_method("fly").__name__ == "Ask"
        assert "method 'fly' exists already, in feathers 1.0" in broken()["fins"]


def test_a_package_may_say_the_same_in_both_ways_and_be_named(site: Site) -> None:
    points = f"{METHODS}fly = wing:Fly\n{MODULES}wing = wing\n"
    site.install("feathers", points, wing=f"{FLY}METHODS = {{'fly': Fly, 'glide': Fly}}")
    assert load_method("glide") is load_method("fly")
    load_plugin("wing")
    assert broken() == {}


def test_a_given_plug_in_takes_no_name_of_an_installed_one(site: Site, tmp_path: Path) -> None:
    site.install("feathers", f"{METHODS}fly = wing:Fly\n", wing=FLY)
    path = tmp_path / "mine.py"
    path.write_text("METHODS = {'fly': int}")
    with pytest.raises(ConfigError, match="method 'fly' exists already, in feathers 1.0"):
        load_plugin(str(path))


def test_an_encoder_and_a_retriever_of_one_name(site: Site) -> None:
    points = "[memory_harness.{}]\nbeak = wing:X\n"
    site.install("feathers", points.format("encoders") + points.format("retrievers"))
    with pytest.raises(ConfigError, match="'beak' is an encoder of one plug-in and a retriever"):
        retriever_config("beak")
