"""Parquet: the records of the CSV with typed columns."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from leaderboards.flat import kinds, records
from leaderboards.view import View

if TYPE_CHECKING:
    import pyarrow as pa


def to_parquet(view: View) -> bytes:
    """Write the board for programs; what a row lacks is null."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = BytesIO()
    pq.write_table(pa.Table.from_pylist(records(view), schema=schema(view)), buffer)
    return buffer.getvalue()


def schema(view: View) -> pa.Schema:
    """Names and types of the columns."""
    import pyarrow as pa

    types = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_(), "text": pa.string()}
    return pa.schema([pa.field(name, types[kind]) for name, kind in kinds(view).items()])
