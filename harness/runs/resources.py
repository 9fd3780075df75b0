"""Resources that a worker on a cluster asks for (``run --on``); a run on this machine does not."""

from __future__ import annotations

from pydantic import BaseModel, ByteSize, ConfigDict, Field, field_validator


class Resources(BaseModel):
    """Whole CPUs, GPUs (a share of one, or whole ones) and bytes, such as ``4GB``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpus: int = Field(1, ge=1)
    gpus: float = Field(0, ge=0)
    memory: ByteSize | None = Field(None, gt=0)

    @field_validator("gpus")
    @classmethod
    def _whole_or_a_share(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError("more than one GPU is a whole number of them")
        return value

    def changed(self, given: Resources | None) -> Resources:
        """With what a method's own entry names in place of the board's."""
        named = given.model_fields_set if given is not None else ()
        return self.model_copy(update={name: getattr(given, name) for name in named})

    @property
    def text(self) -> str:
        """``2 CPUs, 1 GPU, 4.0GB``."""
        parts = [f"{self.cpus} CPU{'' if self.cpus == 1 else 's'}"]
        parts += [f"{self.gpus:g} GPU{'' if self.gpus == 1 else 's'}"] if self.gpus else []
        parts += [self.memory.human_readable(decimal=True)] if self.memory else []
        return ", ".join(parts)


ONE_CPU = Resources()
