"""The command ``python -m methods.parametric_qa.contextual``: gather, run, finish."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from time import monotonic


def main(arguments: list[str] | None = None) -> None:
    """Do one of the three parts of a contextual training."""
    parser = argparse.ArgumentParser(prog="python -m methods.parametric_qa.contextual")
    parts = parser.add_subparsers(dest="part", required=True)
    gather = parts.add_parser("gather", help="write POOL: token ids of what is learnt from")
    gather.add_argument("recipe")
    gather.add_argument("--rows", type=Path, help="folder of the recipe's sources, SOURCE.jsonl.gz")
    gather.add_argument("--out", type=Path, required=True)
    run = parts.add_parser("run", help="train on POOL for so many seconds")
    run.add_argument("recipe")
    run.add_argument("--pool", type=Path, required=True)
    run.add_argument("--model", type=Path, required=True, help="folder of model.safetensors")
    run.add_argument("--out", type=Path, required=True)
    run.add_argument("--seconds", type=float, default=420)
    run.add_argument("--device", default=None)
    run.add_argument("--compile", action="store_true", help="compile layers first")
    run.add_argument("--seed", type=int)
    finish = parts.add_parser("finish", help="make shared parts of what a run wrote")
    finish.add_argument("run", type=Path)
    finish.add_argument("--pool", type=Path, required=True)
    finish.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    {"gather": _gather, "run": _run, "finish": _finish}[given.part](given)


def _gather(given: argparse.Namespace) -> None:
    from methods.parametric_qa.contextual.gathering import gather_pool

    size = gather_pool(given.recipe, given.rows, given.out)
    _say(f"{given.out}: {size:,} bytes")


def _run(given: argparse.Namespace) -> None:
    started = monotonic()
    import torch
    from tokenizers import Tokenizer

    from methods.parametric_qa.contextual.network import Frozen
    from methods.parametric_qa.contextual.pace import Pace
    from methods.parametric_qa.contextual.pool import Pool
    from methods.parametric_qa.contextual.recipe import read_recipe
    from methods.parametric_qa.contextual.run import train

    device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
    recipe = read_recipe(given.recipe)
    if given.seed is not None:
        recipe = recipe.model_copy(update={"seed": given.seed})
    pool, frozen = Pool.load(given.pool), Frozen.read(given.model).to(device)
    tokenizer = Tokenizer.from_file(str(given.model / "tokenizer.json"))
    train(
        recipe, pool, frozen, tokenizer.decode, given.out, Pace(given.seconds, started), _say,
        compile_layers=given.compile,
    )  # fmt: skip


def _finish(given: argparse.Namespace) -> None:
    from methods.parametric_qa.contextual.finishing import finish

    finish(given.run, given.pool, given.out)
    _say(f"use it: memory-harness run … --method parametric-qa -p shared={given.out}")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    main()
