"""Controls of a router: the best it could do, and knowing only the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness import trace
from harness.errors import InputError
from harness.files import read_json, write_json
from harness.method import MethodCard
from harness.metrics.answer import exact_match
from harness.records import Prediction, Query, Question, StorageReport
from methods.adaptive_rag.labels import LABELS, hop_label
from methods.adaptive_rag.routes import PAPER, ROUTE_DEVIATIONS, Routed, RouteParams

if TYPE_CHECKING:
    from harness.data.corpus import Corpus


class AdaptiveRAGOracle(Routed):
    """The upper bound of any router: the simplest route whose answer is correct."""

    card = MethodCard(
        title="Adaptive-RAG (oracle)",
        summary="Takes the simplest route whose answer is correct; knows the golden answers.",
        paper=PAPER,
        source="starsuzi/Adaptive-RAG, oracle of its post-hoc evaluation",
        oracle=True,
        deviations=(
            "Routes are tried in order up to the first that is correct; calls and tokens count "
            "every route tried, the paper's only the one chosen.",
            "Where no route is correct, the answer is B's.",
            *ROUTE_DEVIATIONS,
        ),
    )

    class Params(RouteParams):
        """Parameters of the routes."""

    params: Params

    async def answer(self, query: Query) -> Prediction:
        """Try the routes in order, stop at the first correct answer."""
        golds = self.gold[query.id].golden_answers
        tried: dict[str, Prediction] = {}
        for label in LABELS:
            tried[label] = await self._try(label, query)
            if exact_match(tried[label].answer, golds) == 1.0:
                trace.note("route", label=label, correct=True)
                return tried[label]
        trace.note("route", label="B", correct=False)
        return tried["B"]

    async def _try(self, label: str, query: Query) -> Prediction:
        found = await self.follow(label, query)
        # A later route's reply must not be taken for this one's.
        last = trace.current_scope().recorder.last_reply
        return found if found.raw is not None else replace(found, raw=last)


class AdaptiveRAGDatasetPrior(Routed):
    """A control: the route of a question is the hop type of its dataset."""

    card = MethodCard(
        title="Adaptive-RAG (dataset prior)",
        summary="One route for the whole task: several retrievals if most train questions are "
        "multi-hop, else one.",
        paper=PAPER,
        source="starsuzi/Adaptive-RAG, its bias labels as the router",
        deviations=(
            "A control that the paper does not have: no question is looked at, only how many hops "
            "the train questions take.",
            *ROUTE_DEVIATIONS,
        ),
    )

    class Params(RouteParams):
        """Parameters of the routes."""

    params: Params
    _label: str

    def check_write(self, train: Sequence[Question]) -> None:
        """Raise InputError without train questions."""
        if not train:
            raise InputError("the dataset prior counts train questions' hops; give --train FILE")

    def write(self, corpus: Corpus, train: Sequence[Question], folder: Path) -> None:
        """Take the majority of the train questions' hops. Raises InputError without any."""
        self.check_write(train)
        write_json(folder / "route.json", {"label": hop_label(train)})

    def load(self, folder: Path) -> None:
        """Read the route."""
        self._label = read_json(folder / "route.json")["label"]

    async def answer(self, query: Query) -> Prediction:
        """Follow the dataset's route."""
        trace.note("route", label=self._label)
        return await self.follow(self._label, query)

    def storage(self) -> StorageReport:
        """Text and index; the name of a route weighs nothing."""
        return super().storage()
