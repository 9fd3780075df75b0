"""Acts: commands of a user's that write, each phase of the harness and every method in one of them.

``{files}`` is what ``files.write_files`` wrote, ``{here}`` the only folder that is written to.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DATA = (
    "--questions {files}/questions.jsonl --train {files}/train.jsonl --corpus {files}/corpus.jsonl"
)
MODEL = "--model path:{files}/model --device cpu"
RUN = f"run --task toy {DATA} {MODEL} --no-timings --out {{here}}/runs --method"
BM25 = f"{RUN} bm25 -p shots=1"
BOARD = "run {files}/board.yaml --device cpu"
TRAIN = f"train {{files}}/shared.yaml {MODEL} --task {{files}}/task --out {{here}}/shared"
STUDY = "-p steps=3 -p batch=2 -p questions=2"
LORA = f"{STUDY} -p rank=2"
CODES = "-p shared=null -p slots=2 -p z_dim=64 -p max_tokens=2"
LAYER = (
    f"{STUDY} -p background={{files}}/corpus.jsonl -p background_tokens=100 -p half_keys=32 -p k=2 "
    "-p depth=1 -p max_tokens=2"
)
EDITS = "-p steps=2 -p prefixes=0 -p moment_tokens=200 -p shots=0 -p depth=1"


@dataclass(frozen=True, slots=True)
class Act:
    """Commands that meet a fault, and those that came before and met none."""

    commands: tuple[str, ...]
    before: tuple[str, ...] = ()


def filled(command: str, files: Path, here: Path) -> list[str]:
    """The arguments of a command."""
    return [part.format(files=files, here=here) for part in shlex.split(command)]


TRIPLES = "-p encoder=tiny -p entity_tokens=4 -p triple_tokens=4"
MEMORIES: Mapping[str, str] = {
    "adaptive-rag": "-p bias_tasks=[] -p epochs=1 -p max_tokens=2 -p silver_questions=3 -p "
    "router={files}/encoder",
    "adaptive-rag-dataset-prior": "-p max_tokens=2",
    "cartridge": f"{STUDY} -p positions=4 -p max_tokens=2",
    "cartridge-other": f"{STUDY} -p positions=4 -p max_tokens=2 -p passages={{files}}/corpus.jsonl",
    "compressor": CODES,
    "full-context": "-p max_tokens=2",
    "full-context-other": "-p max_tokens=2 -p passages={files}/corpus.jsonl",
    "graph-ppr": "-p max_tokens=2",
    "graph-ppr-shuffled": "-p max_tokens=2",
    "hipporag": f"{TRIPLES} -p max_tokens=2",
    "hipporag-shuffled": f"{TRIPLES} -p max_tokens=2",
    "lora-in-weights": f"{LORA} -p max_tokens=2",
    "lora-in-weights-other": f"{LORA} -p max_tokens=2",
    "memit": f"{EDITS} -p layers=1",
    "memory-layer": LAYER,
    "memory-layer-other": LAYER,
    "packed-text": "-p max_tokens=2",
    "parametric-qa": f"{CODES} -p steps=2",
    "parametric-qa-consolidated": f"{CODES} -p questions=2 -p rank=2 -p epochs=1 -p batch=4",
    "parametric-qa-joint": f"{CODES} {LORA} -p recalls=1",
    "prag": f"{LORA} -p max_tokens=2",
    "pruned-text": "-p max_tokens=2",
    "rome": EDITS,
    "token-memory": "-p shared={here}/shared -p max_tokens=2",
}
"""Methods that write a memory of their own -> parameters that make them quick."""

_PARTS = tuple(f"{BOARD} --out {{here}}/part-{part} --part {part}/2" for part in (1, 2))
_TOKENS = TRAIN.replace("shared.yaml", "tokens.yaml")

ACTS: Mapping[str, Act] = {
    "run": Act((BM25,)),
    **{
        f"write {method}": Act(
            (f"{RUN} {method} {params}",), (_TOKENS,) if method == "token-memory" else ()
        )
        for method, params in MEMORIES.items()
    },
    "train": Act((TRAIN,)),
    "train tokens": Act((_TOKENS,)),
    "train-bridge": Act(
        (f"train-bridge {{files}}/bridge.yaml {MODEL} --task {{files}}/task --out {{here}}/bridge",)
    ),
    "index bm25": Act(("index {files}/corpus.jsonl",)),
    "index dense": Act(("index {files}/corpus.jsonl --retriever tiny",)),
    "index sq8": Act(("index {files}/corpus.jsonl --retriever tiny -p index=sq8 -p refine=50",)),
    "run a part": Act(_PARTS[:1]),
    "merge": Act(("merge {here}/part-1 {here}/part-2 --out {here}/runs",), _PARTS),
    "score": Act(("score {here}/runs",), (BM25,)),
    "leaderboard": Act(
        ("leaderboard {here}/runs -o {here}/page.html", "leaderboard {here}/runs -o {here}/t.csv"),
        (BM25,),
    ),
    "pack": Act(("pack {here}/runs --out {here}/runs.tar.zst",), (BM25,)),
    "unpack": Act(
        ("unpack {here}/runs.tar.zst --out {here}/again",),
        (BM25, "pack {here}/runs --out {here}/runs.tar.zst"),
    ),
    "export": Act(("export {here}/runs -o {here}/answers.parquet",), (BM25,)),
    "import": Act(("import table {files}/table --out {here}/task",)),
}
"""What each act is called -> its commands."""
