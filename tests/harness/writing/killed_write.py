"""A write that asks the model; as a program, one that is killed: ``FOLDER CALLS``."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from rich.console import Console

from harness.data.corpus import Corpus
from harness.engine import Engine
from harness.llm.base import LanguageModel
from harness.method import Method, MethodCard
from harness.records import Passage
from harness.runs.write_phase import write
from harness.writing.journal import Counts
from tests.harness.lab import CountingModel, Remember

CORPUS = Corpus.from_passages(
    Passage(f"d{n}", f"Person {n}", f"Number {n} is called name{n}.") for n in range(30)
)


class Told(Remember):
    """Keeps what the model says of each passage, asked thrice, and of all of them at last."""

    card = MethodCard("Told", "Keeps what the model says.")

    async def write(self, corpus, train, folder):
        words = await self.each(corpus, self.ask)
        last = await self.llm.generate("And all? " + words[-1], temperature=1.0)
        kept = dict(zip(corpus.ids, words, strict=True)) | {"last": last.text}
        (folder / "words.json").write_text(json.dumps(kept))

    async def ask(self, passage):
        first = await self.llm.generate(f"Of {passage.text}", temperature=1.0)
        second, third = await asyncio.gather(
            self.llm.generate(f"{passage.id} {first.text}"),
            self.llm.generate(f"Else? {passage.title}"),
        )
        return f"{second.text} {third.text}"


CALLS_OF_TOLD = 3 * len(CORPUS) + 1


def go(
    out: Path, model: LanguageModel | None = None, method: Method | None = None, window: int = 4
) -> Counts | None:
    """One session of a write into ``out``; an earlier one left ``scratch`` there, if any."""
    folder, scratch, method = out / "memory", out / "scratch", method or Told()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    scratch.mkdir(exist_ok=True)
    engine = Engine(model or CountingModel(), None, CORPUS, window=window)
    method.open(engine.lend())
    return write(engine, method, CORPUS, (), folder, scratch, Console(quiet=True), "toy")


def killed(out: Path, calls: int) -> None:
    """A session that ends with SIGKILL in the middle of its call number ``calls``."""

    def kill(_) -> None:
        if model.calls == calls:
            os.kill(os.getpid(), signal.SIGKILL)

    model = CountingModel(kill)
    go(out, model)


if __name__ == "__main__":
    killed(Path(sys.argv[1]), int(sys.argv[2]))
