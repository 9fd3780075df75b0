"""The record of one machine's benchmarks on one day: a JSON file in ``leaderboards/bench``."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import leaderboards
from harness.errors import InputError, problem_of
from harness.files import to_slug, write_json
from harness.meters.hardware import describe_hardware
from harness.report import pipe_table
from harness.runs.provenance import package_versions
from tests.benchmarks.figures import Figure, Text

FOLDER = Path(leaderboards.__file__).parent / "bench"


class Measured(BaseModel):
    """What one benchmark found, and the ``seconds`` of its process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    benchmark: Text
    command: Text
    commit: Text
    seconds: Annotated[float, Field(gt=0)]
    figures: Annotated[tuple[Figure, ...], Field(min_length=1)]


class Bench(BaseModel):
    """What was measured on one machine on one day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hardware: Text
    date: date
    versions: dict[str, str]
    measured: tuple[Measured, ...] = ()

    @classmethod
    def begun(cls, folder: Path) -> Self:
        """What was measured here today so far. Raises InputError if the file is damaged."""
        today = cls(
            hardware=describe_hardware().summary, date=date.today(), versions=package_versions()
        )
        path = today.path(folder)
        if not path.exists():
            return today
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            found = problem_of(error)
            raise InputError(
                f"{path}: {found.where or 'the file'}: {found.message}; restore or delete it"
            ) from error

    def path(self, folder: Path) -> Path:
        """Its file."""
        return folder / f"{to_slug(self.hardware)}-{self.date.isoformat()}.json"

    def find(self, benchmark: str) -> Measured | None:
        """What a benchmark found, if it was run."""
        return next((each for each in self.measured if each.benchmark == benchmark), None)

    def having(self, new: Measured) -> Self:
        """With what a benchmark found, in the place of what it had found before."""
        others = [each for each in self.measured if each.benchmark != new.benchmark]
        return self.model_copy(update={"measured": (*others, new)})

    def table(self) -> str:
        """Every figure with its target beside it, as a Markdown table."""
        rows = [
            [each.benchmark, figure.name, figure.against, *figure.cells(), figure.detail]
            for each in self.measured
            for figure in each.figures
        ]
        header = ("Benchmark", "Of", "Over", "Ratio", "Spread", "n", "Target", "Met", "Detail")
        return pipe_table(header, rows, left=(0, 1, 2, 6, 7, 8))

    def write(self, folder: Path) -> None:
        """Replace the file; a crash leaves the old one or the new one."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(self.path(folder), json.loads(self.model_dump_json()))
