"""Parameters of editing weights: where, from which texts, and how a value is searched for."""

from __future__ import annotations

from pydantic import BaseModel, Field


class SearchParams(BaseModel):
    """How a value is searched for."""

    steps: int = Field(20, ge=1, le=1000, description="of the search for a fact's value, at most")
    learning_rate: float = Field(0.5, gt=0, description="of the search, Adam's")
    keep_essence: float = Field(
        0.0625, ge=0, description="weight of what the model says of the subject as such"
    )
    decay: float = Field(0.5, ge=0, description="weight of the change's size")
    most_change: float = Field(
        4.0, gt=0, description="norm of the change, at most, over that of what was there"
    )


class EditParams(SearchParams):
    """Where a fact is edited, from which texts, and how its value is searched for."""

    depth: float = Field(
        0.2, ge=0, le=1, description="of the last layer that is edited, over the model's layers"
    )
    facts: int = Field(3, ge=1, le=100, description="edited of a changed document, at most")
    cues: int = Field(2, ge=1, le=100, description="questions and sentences of a fact, at most")
    prefixes: int = Field(2, ge=0, le=100, description="texts that each cue is also read after")
    moment_tokens: int = Field(
        20_000, ge=1, description="of passages, over which keys' second moments are counted"
    )

    def last_of(self, layers: int) -> int:
        """The index of the last layer that is edited, of so many: others must come after it.

        What is changed at a subject reaches the tokens behind it by the attention of later layers.
        """
        return max(0, min(layers - 2, round(self.depth * layers)))
