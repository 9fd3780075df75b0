"""A record: a part of a file, validated as it is read and written with the fields it was given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import InputError, problem_of
from harness.fingerprint import canonical_json

Count = Annotated[int, Field(ge=0)]


class Record(BaseModel):
    """A part of a file."""

    model_config = ConfigDict(extra="allow", frozen=True)

    def written(self) -> dict[str, Any]:
        """The fields it was given, for JSON."""
        return self.model_dump(exclude_unset=True)


AnyRecord = TypeVar("AnyRecord", bound=Record)


def parse_record(path: Path, values: Any, kind: type[AnyRecord], what: str = "") -> AnyRecord:
    """Validate what a file holds. Raises InputError naming the file, the field and the fix."""
    try:
        record = kind.model_validate(values)
        # Also refuses NaN and half surrogate pairs, which no output format can carry.
        canonical_json(values).encode()
    except ValidationError as error:
        found = problem_of(error)
        raise InputError(
            f"{path}: {what}{found.where or 'the file'}: {found.message}; restore or delete the run"
        ) from error
    except ValueError as error:
        raise InputError(f"{path}: {error}; restore or delete the run") from error
    return record
