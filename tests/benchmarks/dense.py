"""Dense indexes beside a flat one: building, bytes, queries a second and what they find of it.

Run as ``python -m tests.benchmarks.dense [--passages N] [--queries N] [--out FILE.json]``. Vectors
are made up: 384 numbers, 50 around a centre, spread along a few directions. An encoder hands them
out, so nothing is encoded. Search is the whole of ``search``, one query at a time as a latency
is, by one thread; kinds and flat take turns. Queries are vectors of the same kind that the corpus
lacks.
Recall@10 is the harness's own figure, of 200 vectors of the corpus, and that of the queries.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np

from harness.data.corpus import Corpus
from harness.files import write_json
from harness.meters.hardware import describe_hardware, set_torch_threads
from harness.records import Passage
from harness.retrieval.approximate import ApproximateRetriever
from harness.retrieval.base import Retriever
from harness.retrieval.dense import build_dense
from harness.retrieval.index_kinds import HNSW, IVFPQ, SQ8, Kind
from tests.benchmarks.figures import Figure, divided, report, take_turns
from tests.harness.retrieval.helpers import RowEncoder, clustered

DIMENSIONS, K, ROUNDS = 384, 10, 3
KINDS: dict[str, Kind] = {
    "sq8": SQ8(),
    "ivf-pq": IVFPQ(),
    "ivf-pq, refine=100": IVFPQ(refine=100),
    "hnsw": HNSW(),
}


def measure(passages: int, queries: int) -> list[dict[str, Any]]:
    """What there is to know of flat and of each kind."""
    set_torch_threads()
    rows = clustered(passages + queries, DIMENSIONS)
    encoder = RowEncoder(rows)
    corpus = Corpus.from_passages(Passage(f"p{row}", "", str(row)) for row in range(passages))
    asked = [str(row) for row in range(passages, passages + queries)]
    flat, seconds = _built(lambda: build_dense(corpus, encoder))
    best = [_ids(flat, query) for query in asked]
    found = [{"kind": "flat", "recall": 1.0, "recall_of_queries": 1.0, **_told(flat, seconds)}]
    for name, kind in KINDS.items():
        index, seconds = _built(lambda kind=kind: ApproximateRetriever(corpus, encoder, kind))
        sides = {
            "flat": lambda: [flat.search([query], K) for query in asked],
            "kind": lambda index=index: [index.search([query], K) for query in asked],
        }
        took = take_turns(sides, ROUNDS)
        hits = [len(_ids(index, query) & one) / K for query, one in zip(asked, best, strict=True)]
        found.append(
            {
                "kind": name,
                "recall": index.provenance()["recall"]["value"],
                "recall_of_queries": float(np.mean(hits)),
                "ratios": divided(took["flat"], took["kind"]),
                "queries_per_cpu_second": queries / median(took["kind"]),
                "flat_queries_per_cpu_second": queries / median(took["flat"]),
                **_told(index, seconds),
            }
        )
    return found


def _built(make: Any) -> tuple[Any, float]:
    start = process_time()
    return make(), process_time() - start


def _told(index: Retriever, seconds: float) -> dict[str, Any]:
    return {"cpu_seconds": seconds, "bytes": index.storage()["dense index"]}


def _ids(index: Retriever, query: str) -> set[str]:
    return {passage.id for passage in index.search([query], K)[0]}


def figures(found: list[dict[str, Any]], passages: int) -> Iterator[Figure]:
    """Of each kind: queries a second, bytes and Recall over those of flat."""
    flat, *kinds = found
    size = f"{passages:,} passages"
    for each in kinds:
        yield Figure(
            f"queries a second of {each['kind']}, {size}",
            "flat",
            each["ratios"],
            "at least",
            detail=f"{each['queries_per_cpu_second']:,.0f} a second of a processor",
        )
        yield Figure(
            f"bytes of {each['kind']}, {size}",
            "flat in float16",
            (each["bytes"] / flat["bytes"],),
            detail=f"{each['bytes'] / passages:,.0f} a passage; building "
            f"{each['cpu_seconds']:.0f} s of a processor",
        )
        yield Figure(
            f"Recall@{K} of {each['kind']}, {size}",
            "flat",
            (each["recall_of_queries"],),
            "at least",
            detail=f"{each['recall']:.3f} as the index tells",
        )


def main() -> None:
    """Measure and report; all there is to know in a file."""
    parser = argparse.ArgumentParser(description="dense indexes beside a flat one")
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memory-harness-bench-") as place:
        os.environ["MEMORY_HARNESS_CACHE"] = place
        found = measure(options.passages, options.queries)
    if options.out:
        about = {
            "hardware": describe_hardware().summary,
            "threads": os.environ.get("OMP_NUM_THREADS", ""),
            "date": date.today().isoformat(),
            "versions": {name: version(name) for name in ("faiss-cpu", "numpy")},
        }
        write_json(options.out, {**about, "passages": options.passages, "kinds": found})
    report(figures(found, options.passages))


if __name__ == "__main__":
    main()
