"""How much memory an import takes, and how long: one million rows of made-up text in each format.

Run as ``python -m tests.benchmarks.importing [--rows N] [--small N] [FORMAT ...]``. Every import is
a process of its own, whose peak resident memory is that of the interpreter, the libraries and what
the import holds; one of ``--small`` rows shows what of it does not grow.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean

from tests.benchmarks.figures import Figure, report
from tests.peak import PEAK_BYTES

WORDS = 60
AT_MOST = 0.8
"""Target: an import holds hashes of ids, not texts."""
_CHILD = (
    PEAK_BYTES
    + """
import sys, time
from itertools import islice
from pathlib import Path
from harness.formats.importing import import_source
from harness.formats.open import open_format
start = time.perf_counter()
name, source, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
done = import_source(name, open_format(name, {}), source, out)
seconds = time.perf_counter() - start
print(peak_bytes(), seconds, time.process_time(), done.tally.written["passages"])
"""
)


@dataclass(frozen=True)
class Made:
    """A source that a format reads."""

    format: str
    source: Path


@dataclass(frozen=True)
class Measured:
    """What one import took: ``peak`` resident memory in bytes, ``cpu`` seconds of a processor."""

    peak: int
    seconds: float
    cpu: float
    passages: int


def texts(rows: int) -> Iterator[str]:
    """Different texts of so many words."""
    chance = random.Random(0)
    known = [f"word{number}" for number in range(5_000)]
    for row in range(rows):
        yield f"row {row} {' '.join(chance.choices(known, k=WORDS))}"


def csv_table(folder: Path, rows: int) -> Made:
    """A corpus and as many questions, as CSV."""
    with (folder / "corpus.csv").open("w") as file:
        file.write("id,title,text\n")
        file.writelines(f'{n},title {n},"{text}"\n' for n, text in enumerate(texts(rows)))
    with (folder / "questions.csv").open("w") as file:
        file.write("id,question,answer,gold\n")
        file.writelines(f"q{n},what is {n}?,{n},{n}\n" for n in range(rows))
    return Made("table", folder)


def json_table(folder: Path, rows: int) -> Made:
    """Questions that bring their passage, each passage twice, as a JSON array in gzip."""
    import gzip

    with gzip.open(folder / "questions.json.gz", "wt", compresslevel=1) as file:
        file.write("[")
        for number, text in enumerate(texts(rows // 2)):
            for each in (2 * number, 2 * number + 1):
                row = {"question": f"what is {each}?", "answers": [str(each)], "context": text}
                file.write(f"{', ' if each else ''}{json.dumps(row)}")
        file.write("]")
    return Made("table", folder / "questions.json.gz")


def parquet_table(folder: Path, rows: int) -> Made:
    """Questions that bring their passage, as Parquet in groups of 100,000 rows."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    schema = pa.schema([(name, pa.string()) for name in ("question", "answer", "context")])
    every = enumerate(texts(rows))
    with ParquetWriter(folder / "questions.parquet", schema) as file:
        while some := list(islice(every, 100_000)):
            table = [
                {"question": f"what is {number}?", "answer": str(number), "context": text}
                for number, text in some
            ]
            file.write_table(pa.Table.from_pylist(table, schema))
    return Made("table", folder / "questions.parquet")


def text_files(folder: Path, rows: int) -> Made:
    """Documents of a hundred passages each, and ten questions."""
    every = texts(rows)
    for number in range(0, rows, 100):
        paragraphs = [next(every) for _ in range(min(100, rows - number))]
        (folder / f"{number}.md").write_text(f"# Document {number}\n\n" + "\n\n".join(paragraphs))
    questions = "".join(f"what is {n}?,{n}\n" for n in range(10))
    (folder / "questions.csv").write_text(f"question,answer\n{questions}")
    return Made("texts", folder)


Make = Callable[[Path, int], Made]

SOURCES: dict[str, Make] = {
    "csv": csv_table,
    "json": json_table,
    "parquet": parquet_table,
    "texts": text_files,
}


def measure(make: Make, rows: int) -> Measured:
    """One import in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "source")
        folder.mkdir()
        made = make(folder, rows)
        arguments = [made.format, str(made.source), str(Path(place, "out"))]
        output = subprocess.run(
            [sys.executable, "-c", _CHILD, *arguments], check=True, capture_output=True, text=True
        ).stdout
    peak, seconds, cpu, passages = output.split()
    return Measured(int(peak), float(seconds), float(cpu), int(passages))


def compare(kind: str, make: Make, small: int, rows: int) -> Figure:
    """What an import's memory grows by with a row, over the bytes of a row's text."""
    few, many = measure(make, small), measure(make, rows)
    growth = max(0, many.peak - few.peak) / (rows - small)
    text = fmean(len(each) for each in texts(1_000))
    detail = (
        f"{rows:,} rows ({many.passages:,} passages), {many.cpu:.0f} s of a processor, peak "
        f"{many.peak / 1e6:.0f} MB; {small:,} rows {few.peak / 1e6:.0f} MB"
    )
    name = f"{kind}, growth of peak memory with a row"
    return Figure(name, "a row's text", (growth / text,), target=AT_MOST, detail=detail)


def main(sources: Mapping[str, Make] = SOURCES) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description="memory and time of an import")
    parser.add_argument("kinds", nargs="*", metavar="FORMAT", help=", ".join(sources))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--small", type=int, default=1_000)
    options = parser.parse_args()
    kinds = options.kinds or sources
    report(compare(kind, sources[kind], options.small, options.rows) for kind in kinds)


if __name__ == "__main__":
    main()
