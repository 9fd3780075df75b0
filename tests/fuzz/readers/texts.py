"""Readers of YAML and of what is typed: boards, recipes, cards, parameters, names, variables."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

from tests.fuzz.mutations import Files
from tests.fuzz.rule import Reader, each

_ROOT = Path(__file__).parents[3]
_METHODS = _ROOT / "methods"
BOARD = b"""
name: mine
description: a small board
tasks: [nq, {name: toy, files: {questions: q.jsonl, corpus: c.jsonl}, limit: 3, pools: [10, 20]}]
models:
  - smollm2-135m-instruct
  - {name: "openai:m@http://127.0.0.1:1/v1", prompt_style: chat, template: {effort: low}}
methods:
  - no-retrieval
  - {name: bm25, params: {k: 3, shots: 0}, up_to: 100}
  - {name: standard-rag, params: {k: 3}}
grid: {method: bm25, vary: all, params: {k: [1, 2, 3], shots: [0, 1]}}
seeds: [0, 1]
limit: 5
latency: {queries: 3, warmup: 1, passes: 1}
order: methods
workers: 2
judge: {model: smollm2-135m-instruct, prompt: judge.txt}
prepare: [{name: reader, train: proposal-cpu, changes: {steps: 3, tuning: {rank: 2}}}]
"""
CARD = b"""
name: toy
title: A toy
version: 2
hops: multi
metrics: [rouge_l, support_f1]
gold: all
closed_answers: true
licence: CC-BY-4.0
citations: [{key: a2020, text: A paper.}]
sources: [one]
caveats: ["a: b"]
hub: {repo: org/data, folder: toy, revision: main, splits: {test: test.jsonl}, corpus: c.jsonl}
checksums: {sample/questions.jsonl: 00ff}
"""
PARAMS = ("k=10", "k=[1, 2]", "shots=0", "retriever=dense", "retriever=faiss:a.index@e5-base-v2",
          "retriever=bm25s:some/folder", "adapter={a: 1}", "date=2024-07-26", "lambda=1e-3",
          "train=z+lora", "k=0x10", "x: y=3", "size=24", "slots=8")  # fmt: skip
METHODS = ("bm25", "standard-rag", "ircot", "self-rag-prompted", "corag-prompted", "adaptive-rag",
           "parametric-qa", "full-context", "flashrag:naive", "prag")  # fmt: skip
SPECS = ("hf:org/name@rev", "path:folder", "path:~/x", "gguf:a/b.gguf", "smollm2-135m-instruct",
         "openai:m@http://127.0.0.1:1/v1,http://127.0.0.1:2/v1,api_key_env=MY_KEY",
         "openai:gpt@https://api.openai.com/v1", "lm-eval:hf,pretrained=x,dtype=float32",
         "lm-eval:local-completions,model=m,base_url=http://127.0.0.1:1/v1")  # fmt: skip
RETRIEVERS = ("bm25", "dense", "mine,k=2", "faiss:x.index@./folder,query_prefix=a: ,normalize=true",
              "bm25s:folder")  # fmt: skip


def typed(folder: Path) -> str:
    """What was typed, as Python takes it from the command line: bytes of no encoding as halves.

    Without what a system passes to no program, and in the one line that a message of it has then.
    """
    text = (folder / "typed").read_bytes().decode("utf-8", "surrogateescape")
    return text.replace("\0", "").replace("\n", " ")


def _typed(texts: Sequence[str]) -> Callable[[], list[Files]]:
    return lambda: [{"typed": text.encode()} for text in texts]


def _board(folder: Path) -> None:
    from harness.boards.file import read_board
    from harness.boards.sweep import expand
    from harness.llm.catalogue import resolve_model

    board = expand(read_board(str(folder / "board.yaml")))
    for model in board.models:
        resolve_model(model)


@cache
def _boards() -> list[Files]:
    shipped = _ROOT / "leaderboards" / "boards" / "quickstart.yaml"
    return [{"board.yaml": BOARD}, {"board.yaml": shipped.read_bytes()}]


def _recipes(*folders: str) -> list[Files]:
    places = [path for folder in folders for path in sorted((_METHODS / folder).glob("*.yaml"))]
    return [{"recipe.yaml": path.read_bytes()} for path in places]


def _recipe(folder: Path) -> None:
    from methods.parametric_qa.train.from_recipe import checked_recipe

    checked_recipe(str(folder / "recipe.yaml"), {})


def _contextual(folder: Path) -> None:
    from methods.parametric_qa.contextual.recipe import read_recipe

    read_recipe(str(folder / "recipe.yaml"))


def _xrag(folder: Path) -> None:
    from methods.xrag.recipe import read_recipe

    read_recipe(str(folder / "recipe.yaml"))


def _card(folder: Path) -> None:
    from harness.data.card import Task

    Task.from_folder(folder)


def _wording(folder: Path) -> None:
    from methods.corag.wording import read_wording

    read_wording(folder / "wording.yaml")


@cache
def _wordings() -> list[Files]:
    import yaml

    from methods.corag.wording import REWORDED

    return [{"wording.yaml": yaml.safe_dump(REWORDED.model_dump()).encode()}]


@cache
def _published() -> list[Files]:
    places = sorted((_ROOT / "leaderboards" / "published").glob("*.yaml"))
    smallest = sorted(places, key=lambda path: path.stat().st_size)[:3]
    return [{path.name: path.read_bytes()} for path in smallest]


def _figures(folder: Path) -> None:
    from leaderboards.published import read_figures

    read_figures(folder)


def _params(folder: Path) -> None:
    from harness.boards.method_entry import load_method, parse_params
    from harness.cli.run import method_params

    params = method_params([typed(folder)])
    each(*(partial(parse_params, load_method(name), name, params) for name in METHODS))


def _spec(folder: Path) -> None:
    from harness.llm.catalogue import resolve_model
    from harness.llm.identity import identity, places
    from harness.llm.server.keys import key_of

    model = resolve_model(typed(folder))
    if model.kind == "openai":
        key_of(model)
    identity(model)
    places(model)


def _retriever(folder: Path) -> None:
    from harness.data.corpus import Corpus
    from harness.records import Passage
    from harness.retrieval.open import check_retriever, retriever_config

    name = typed(folder)
    retriever_config(name)
    check_retriever(name, Corpus.from_passages([Passage("a", "", "b")]))


def _option(folder: Path) -> None:
    from harness.cli.import_ import _pair
    from harness.formats.open import open_format
    from harness.registry import names

    options = dict([_pair(typed(folder))])
    each(*(partial(open_format, name, options) for name in names("formats")))


def _environment(folder: Path) -> None:
    from harness.files import cache_dir
    from harness.llm.powers import ALLOWED, allowed
    from harness.registry import names

    before = {name: os.environ.get(name) for name in (ALLOWED, "MEMORY_HARNESS_CACHE")}
    # os.environ holds what the system does: no NUL, and bytes that are no UTF-8 as surrogates.
    value = typed(folder)
    try:
        os.environ[ALLOWED] = value
        allowed()
        names("methods")
        # Below the case's own folder, wherever the value leads from there.
        inside = value.replace("..", "").lstrip("/~")
        os.environ["MEMORY_HARNESS_CACHE"] = str(folder / "cache" / inside)
        cache_dir("models")
    finally:
        shutil.rmtree(folder / "cache", ignore_errors=True)
        for name, old in before.items():
            os.environ.pop(name, None)
            os.environ.update({name: old} if old is not None else {})


READERS = (
    Reader("board", _boards, _board),
    Reader("recipe", cache(partial(_recipes, "parametric_qa/recipes")), _recipe),
    Reader("recipe-contextual", partial(_recipes, "parametric_qa/recipes/contextual"), _contextual),
    Reader("recipe-xrag", partial(_recipes, "xrag/recipes"), _xrag),
    Reader("task-card", lambda: [{"task.yaml": CARD}], _card),
    Reader("wording", _wordings, _wording),
    Reader("figures", _published, _figures),
    Reader("params", _typed(PARAMS), _params, reads_seeds=False),
    Reader("model-spec", _typed(SPECS), _spec, reads_seeds=False),
    Reader("retriever-name", _typed(RETRIEVERS), _retriever),
    Reader(
        "format-option",
        _typed(("words=20", "split=test", "question=q", "gold=any")),
        _option,
        reads_seeds=False,
    ),
    Reader("environment", _typed(("remote-code,env:MY_KEY", "a/folder", "~/x")), _environment),
)
