"""How BM25's index grows: building, opening and searching it, beside bm25s on the same token ids.

Run as ``python -m tests.benchmarks.bm25 [--passages N ...] [--out FILE.json]``. Passages are made
up: 80 words each, of a Zipf distribution without its most frequent words, the stop words.
Building, bm25s' own building and searching each have a process, whose peak memory is its own.
Seconds of a processor say more than seconds where other programs run; OMP_NUM_THREADS sets how many
processes tokenise. Search is the whole of ``search``, with its tokenising and its reading of
passages, against ``bm25s.retrieve`` of ids by numba, which does neither; they take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np

from harness.files import write_json
from harness.meters.hardware import describe_hardware
from tests.benchmarks.figures import Figure, divided, report, take_turns
from tests.peak import peak_bytes

WORDS, VOCABULARY, LEFT_OUT = 80, 500_000, 30
QUERIES, ASKED, K, ROUNDS = 1000, 8, 10, 5
_BLOCK = 10_000


def word_ids(passages: int) -> Iterator[np.ndarray]:
    """Numbers of words, blocks of [passages, 80]."""
    shares = np.cumsum(1 / (LEFT_OUT + 1 + np.arange(VOCABULARY)))
    chance = np.random.default_rng(0)
    for start in range(0, passages, _BLOCK):
        drawn = chance.random((min(_BLOCK, passages - start), WORDS)) * shares[-1]
        yield shares.searchsorted(drawn, side="right").clip(max=VOCABULARY - 1)


def write_corpus(path: Path, passages: int) -> None:
    """A corpus of words that no stemmer changes; the first two are the title."""
    names, number = [f"w{n}" for n in range(10, VOCABULARY + 10)], 0
    with path.open("w") as file:
        for block in word_ids(passages):
            for row in block.tolist():
                words = [names[each] for each in row]
                contents = f"{' '.join(words[:2])}\\n{' '.join(words[2:])}"
                file.write(f'{{"id": "{number}", "contents": "{contents}"}}\n')
                number += 1


def queries(passages: int) -> list[str]:
    """Eight words each of a thousand passages."""
    chance = np.random.default_rng(1)
    first = next(word_ids(min(passages, _BLOCK)))
    rows = first[chance.integers(0, len(first), QUERIES)]
    picked = chance.permuted(rows, axis=1)[:, :ASKED]
    return [" ".join(f"w{each + 10}" for each in row) for row in picked.tolist()]


def build(path: Path) -> dict[str, Any]:
    """Scan the corpus and build its index."""
    from harness.data.corpus import Corpus
    from harness.meters.memory import PeakMemory
    from harness.retrieval.bm25 import BM25Retriever

    before = peak_bytes()
    with PeakMemory("cpu") as memory:
        start = perf_counter()
        corpus = Corpus.open(path)
        scanned, began, cpu = perf_counter() - start, perf_counter(), process_time()
        marks: list[tuple[float, float]] = []
        retriever = BM25Retriever(
            corpus, progress=lambda *_: marks.append((perf_counter(), process_time()))
        )
        seconds, cpu_seconds = perf_counter() - began, process_time() - cpu
    return {
        "scan_seconds": scanned,
        "seconds": seconds,
        "inverting_seconds": began + seconds - marks[-1][0],
        "cpu_seconds": cpu_seconds,
        "inverting_cpu_seconds": cpu + cpu_seconds - marks[-1][1],
        "peak_bytes": max(peak_bytes(), memory.record()["peak_bytes"]),
        "bytes_before": before,
        "index_bytes": retriever.storage()["sparse index"],
        "terms": len(retriever._postings.vocabulary),
        "postings": len(retriever._postings.weights),
        "folder": str(retriever.folder),
    }


def bare(passages: int, folder: Path) -> dict[str, Any]:
    """bm25s' own building of the same token ids, and whether it made the same."""
    import bm25s

    from harness.retrieval.postings import Postings

    numbers: dict[int, int] = {}
    documents = [
        [numbers.setdefault(word, len(numbers)) for word in row]
        for block in word_ids(passages)
        for row in block.tolist()
    ]
    before, start, cpu = peak_bytes(), perf_counter(), process_time()
    made = bm25s.BM25(k1=1.2, b=0.75, method="lucene").build_index_from_ids(
        list(numbers.values()), documents, show_progress=False
    )
    seconds, cpu_seconds, peak = perf_counter() - start, process_time() - cpu, peak_bytes()
    ours = Postings.open(folder)
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_bytes": peak,
        "bytes_before": before,
        "same_index": np.array_equal(ours.weights, made["data"])
        and np.array_equal(ours.positions, made["indices"])
        and np.array_equal(ours.starts, made["indptr"]),
    }


def search(path: Path, passages: int) -> dict[str, Any]:
    """Open the index, search it, and let bm25s search the same arrays."""
    import bm25s

    from harness.data.corpus import Corpus
    from harness.meters.memory import tree_rss
    from harness.retrieval.bm25 import BM25Retriever

    asked, start = queries(passages), perf_counter()
    cpu = process_time()
    corpus = Corpus.open(path)
    opened = perf_counter() - start
    retriever = BM25Retriever.open(corpus, {})
    loaded, loaded_cpu = perf_counter() - start, process_time() - cpu
    retriever.search(asked, K)
    resident = tree_rss()
    postings = retriever._postings
    ids = [[postings.vocabulary[word] for word in query.split()] for query in asked]
    index = bm25s.BM25(backend="numba")
    index.scores = {
        "data": np.asarray(postings.weights),
        "indices": np.asarray(postings.positions),
        "indptr": np.asarray(postings.starts),
        "num_docs": passages,
    }
    index.vocab_dict, index.nonoccurrence_array = {}, None
    index.unique_token_ids_set = set(range(len(postings.vocabulary)))
    sides = {
        "ours": lambda: retriever.search(asked, K),
        "bm25s": lambda: index.retrieve(ids, k=K, show_progress=False),
    }
    sides["bm25s"]()  # compiles
    seconds = take_turns(sides, ROUNDS)
    return {
        "corpus_seconds": opened,
        "loaded_seconds": loaded,
        "loaded_cpu_seconds": loaded_cpu,
        "resident_bytes": resident,
        **{f"{name}_per_cpu_second": len(asked) / median(seconds[name]) for name in sides},
        "ratios": divided(seconds["ours"], seconds["bm25s"]),
    }


_STAGES = {
    "build": lambda path, passages, folder: build(path),
    "bare": lambda path, passages, folder: bare(passages, folder),
    "search": lambda path, passages, folder: search(path, passages),
}


def measure(passages: int, stages: Iterable[str] = ("build", "bare", "search")) -> dict[str, Any]:
    """All three of one size, or some, each in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="memory-harness-bench-") as place:
        path, folder = Path(place, "corpus.jsonl"), ""
        write_corpus(path, passages)
        found: dict[str, Any] = {"passages": passages, "corpus_bytes": path.stat().st_size}
        environment = {**os.environ, "MEMORY_HARNESS_CACHE": str(Path(place, "cache"))}
        for stage in stages:
            command = [sys.executable, "-m", __spec__.name, "--stage", stage]
            output = subprocess.run(
                [*command, str(path), str(passages), folder or place],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            ).stdout
            found[stage] = json.loads(output)
            folder = found["build"].pop("folder", folder)
    return found


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    """Of one size: building and searching against bm25s on the same token ids."""
    build, bare, search = (found[stage] for stage in _STAGES)
    size = f"{found['passages']:,} passages"
    yield Figure(
        f"building an index of {size}, time",
        "bm25s given token ids",
        (build["cpu_seconds"] / bare["cpu_seconds"],),
        detail=f"{build['cpu_seconds']:.0f} s of a processor, tokenising among them",
    )
    yield Figure(
        f"building an index of {size}, memory added",
        "bm25s given token ids",
        (_added(build) / _added(bare),),
        detail=f"{_added(build) / 1e6:.0f} MB",
    )
    yield Figure(
        f"searching {size}, time, tokenising and passages among it",
        "bm25s given token ids",
        search["ratios"],
        detail=f"{search['ours_per_cpu_second']:,.0f} queries a second of a processor",
    )


def _added(stage: dict[str, Any]) -> int:
    return int(stage["peak_bytes"] - stage["bytes_before"])


def main() -> None:
    """Measure and report; all there is to know of each size in a file."""
    parser = argparse.ArgumentParser(description="BM25 over corpora of growing size")
    parser.add_argument("--passages", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--stage", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        stage, path, passages, folder = options.stage
        print(json.dumps(_STAGES[stage](Path(path), int(passages), Path(folder))))
        return
    about = {
        "hardware": describe_hardware().summary,
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "date": date.today().isoformat(),
        "versions": {name: version(name) for name in ("bm25s", "numba", "numpy")},
    }
    results: list[dict[str, Any]] = []

    def sizes() -> Iterator[Figure]:
        for passages in options.passages:
            results.append(measure(passages))
            yield from figures(results[-1])
            if options.out:
                write_json(options.out, {**about, "sizes": results})

    report(sizes())


if __name__ == "__main__":
    main()
