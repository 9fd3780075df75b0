"""Kinds of dense indexes: flat, and three of faiss that find approximately, each with its settings.

Defaults follow faiss's own guidance: lists for ivf-pq grow with the root of the corpus, and each
list and each code is learnt from at least 39 passages, below which faiss warns.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from math import sqrt
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.errors import ConfigError, did_you_mean
from harness.retrieval.catalogue import explain

MOST_TRAINED = 2**20
"""Passages that an index is trained on at most, whatever the corpus."""
_EACH = 39
_CODES = 256
_WIDEST = 10_000


class Kind(BaseModel):
    """Settings of one kind of approximate index; ``index`` is its name.

    What decides the file and what decides a search of it are told apart by ``searching``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    searching: ClassVar[tuple[str, ...]] = ()
    """Settings that may change without building anew."""
    one_thread: ClassVar[bool] = False
    """Whether the order of adding decides, so that only one thread gives the same bytes again."""
    one_by_one: ClassVar[bool] = False
    """Whether the last bits of a search, and so what it finds, could depend on others in a call."""
    mapped: ClassVar[str] = "IO_FLAG_MMAP_IFC"
    """faiss's flag of reading so that what is large stays on disk."""
    trained: ClassVar[int] = 2**16
    """Passages that it learns from."""

    index: str
    refine: int = Field(
        0, ge=0, le=_WIDEST,
        description="candidates a query that are scored again by their vectors as they were, kept "
        "beside the index on disk; 0 keeps none",
    )  # fmt: skip

    @property
    def exact_vectors(self) -> bool:
        """Whether a passage's vector can be had as its encoder gave it, in float16."""
        return self.refine > 0

    def check(self, passages: int) -> None:
        """Raise ConfigError if a corpus of that size cannot have such an index."""

    @abstractmethod
    def factory(self, passages: int, dimensions: int) -> str:
        """What faiss's index_factory makes of it. Raises ConfigError, also as ``check``."""

    def sample(self, passages: int, dimensions: int) -> int:
        """Passages that it is trained on."""
        return min(passages, self.trained)

    def prepare(self, index: Any) -> None:
        """Set what training and adding need."""

    def params(self, index: Any, width: int) -> Any:
        """faiss's parameters of a search so wide; None where there is nothing to set."""
        return None

    def width(self, depth: int) -> int:
        """How wide a search for ``depth`` candidates begins."""
        return 1

    def widest(self, index: Any) -> int:
        """How wide a search may become if it found too few."""
        return 1

    def building(self) -> dict[str, Any]:
        """What decides the file: the settings without those of searching."""
        return self.model_dump(exclude={*self.searching})

    def how(self) -> str:
        """What decides a search, as text."""
        return ",".join(f"{name}={getattr(self, name)}" for name in self.searching)


class SQ8(Kind):
    """A byte a dimension; every passage is compared."""

    searching = ("refine",)

    index: Literal["sq8"] = "sq8"

    def factory(self, passages: int, dimensions: int) -> str:
        """SQ8."""
        return "SQ8"


class IVFPQ(Kind):
    """``pq_m`` bytes and 8 of a number a passage; ``nprobe`` of ``nlist`` lists are compared."""

    searching = ("nprobe", "refine")
    one_by_one = True  # faiss may find the lists of many queries by a product of matrices
    mapped = "IO_FLAG_MMAP"

    index: Literal["ivf-pq"] = "ivf-pq"
    nlist: int | None = Field(
        None, ge=1, description="lists; null: 4 times the root of the passages, 39 in each at least"
    )
    nprobe: int = Field(32, ge=1, description="lists that a query looks into")
    pq_m: int | None = Field(
        None, ge=1, description="bytes of a passage's code, a divisor of the dimensions; null: 1/8"
    )

    def check(self, passages: int) -> None:
        """39 passages a code and a list, and no more lists looked into than there are."""
        if passages < _EACH * _CODES:
            raise ConfigError(
                f"index=ivf-pq: needs {_EACH * _CODES:,} passages, {_EACH} for each of {_CODES} "
                f"codes, and the corpus has {passages:,}; take index=flat, sq8 or hnsw"
            )
        lists, most = self.lists(passages), min(passages, MOST_TRAINED) // _EACH
        if lists > most:
            raise ConfigError(
                f"index=ivf-pq: nlist={lists} is too many for {passages:,} passages, {_EACH} a "
                f"list; take nlist={most} or less"
            )
        if self.nprobe > lists:
            raise ConfigError(
                f"index=ivf-pq: nprobe={self.nprobe} of only {lists} lists; take less, or flat"
            )

    def factory(self, passages: int, dimensions: int) -> str:
        """Lists of product-quantised residuals, without polysemous training, which nothing uses."""
        self.check(passages)
        code = self.pq_m or max(1, dimensions // 8)
        if dimensions % code:
            known = [each for each in range(1, dimensions + 1) if dimensions % each == 0]
            raise ConfigError(
                f"index=ivf-pq: pq_m={code} does not divide {dimensions} dimensions; take one of "
                f"{', '.join(map(str, known))}"
            )
        return f"IVF{self.lists(passages)},PQ{code}np"

    def lists(self, passages: int) -> int:
        """Lists of a corpus."""
        most = min(passages, MOST_TRAINED) // _EACH
        return self.nlist or max(1, min(int(4 * sqrt(passages)), most))

    def sample(self, passages: int, dimensions: int) -> int:
        """64 passages a list."""
        return min(passages, max(self.trained, 64 * self.lists(passages)), MOST_TRAINED)

    def prepare(self, index: Any) -> None:
        """Quiet faiss, which warns of samples of another size than it is used to."""
        index.cp.min_points_per_centroid = 1
        index.pq.cp.min_points_per_centroid = 1

    def params(self, index: Any, width: int) -> Any:
        """So many lists."""
        return _faiss().SearchParametersIVF(nprobe=min(width, index.nlist))

    def width(self, depth: int) -> int:
        """``nprobe``."""
        return self.nprobe

    def widest(self, index: Any) -> int:
        """All lists."""
        return int(index.nlist)


class HNSW(Kind):
    """A graph over the vectors in float16, of ``hnsw_m`` neighbours (twice that at the bottom)."""

    searching = ("ef_search",)
    one_thread = True

    index: Literal["hnsw"] = "hnsw"
    hnsw_m: int = Field(32, ge=2, le=128, description="neighbours of a passage")
    ef_construction: int = Field(100, ge=2, le=_WIDEST, description="candidates of each, building")
    ef_search: int = Field(128, ge=1, le=_WIDEST, description="candidates that a query keeps")

    @property
    def exact_vectors(self) -> bool:
        """The graph holds them."""
        return True

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.refine:
            raise ValueError("keeps vectors as they were; leave refine out")
        if self.ef_construction < self.hnsw_m:
            raise ValueError("ef_construction is below hnsw_m; raise it")
        return self

    def factory(self, passages: int, dimensions: int) -> str:
        """The graph over scalars of two bytes."""
        return f"HNSW{self.hnsw_m},SQfp16"

    def prepare(self, index: Any) -> None:
        """Candidates of building."""
        index.hnsw.efConstruction = self.ef_construction

    def params(self, index: Any, width: int) -> Any:
        """So many candidates."""
        return _faiss().SearchParametersHNSW(efSearch=width)

    def width(self, depth: int) -> int:
        """``ef_search``, and what is asked for at least."""
        return max(self.ef_search, depth)

    def widest(self, index: Any) -> int:
        """As many as there are, up to ten thousand."""
        return min(_WIDEST, int(index.ntotal))


KINDS: Mapping[str, type[Kind]] = {"sq8": SQ8, "ivf-pq": IVFPQ, "hnsw": HNSW}
SETTINGS = ("index", *dict.fromkeys(name for kind in KINDS.values() for name in kind.model_fields))
"""Names of all settings."""


def split(settings: Mapping[str, Any]) -> tuple[Kind | None, dict[str, Any]]:
    """An index's settings, None for flat, and all others. Raises ConfigError."""
    own = {name: value for name, value in settings.items() if name in SETTINGS}
    rest = {name: value for name, value in settings.items() if name not in SETTINGS}
    kind = own.get("index", "flat")
    if kind == "flat":
        own.pop("index", None)
        if own:
            raise ConfigError(
                f"{', '.join(own)}: of an approximate index alone; say index={'|'.join(KINDS)}, or "
                "leave it out"
            )
        return None, rest
    if not isinstance(kind, str) or kind not in KINDS:
        hint = did_you_mean(str(kind), ["flat", *KINDS])
        raise ConfigError(f"index={kind}: no such kind; take flat, {', '.join(KINDS)}{hint}")
    for name in own:
        if name not in KINDS[kind].model_fields:
            known = ", ".join(each for each in KINDS[kind].model_fields if each != "index")
            raise ConfigError(f"index={kind}: takes no {name}; it has {known}")
    try:
        return KINDS[kind](**own), rest
    except ValidationError as error:
        raise ConfigError(f"index={kind}: {explain(error)}") from error


def _faiss() -> Any:
    """faiss, whose type stubs know few of its parameters."""
    import faiss

    return faiss
