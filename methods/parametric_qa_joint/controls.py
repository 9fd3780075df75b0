"""Controls: the jointly trained model with the memories of others, and with none."""

from __future__ import annotations

from harness.method import MethodCard
from harness.records import Query
from methods.parametric_qa.choose import Chosen
from methods.parametric_qa.controls import ParametricQAShuffled
from methods.parametric_qa_joint.method import ParametricQAJoint

PAPER = ParametricQAJoint.card.paper
SOURCE = "a control of parametric-qa-joint"


class JointShuffled(ParametricQAShuffled, ParametricQAJoint):
    """Selects as usual, then reads the memories of other documents with the same weights."""

    card = MethodCard(
        title="Parametric QA, trained jointly, shuffled memories",
        summary="The jointly trained model reads as many memories of random documents; what it "
        "still answers sits in its weights.",
        paper=PAPER,
        source=SOURCE,
        deviations=ParametricQAShuffled.card.deviations,
    )
    writes_as = "parametric-qa-joint"


class JointClosedBook(ParametricQAJoint):
    """The jointly trained model without any memory: what its weights alone hold."""

    card = MethodCard(
        title="Parametric QA, trained jointly, closed book",
        summary="The jointly trained model answers without memories; what it answers sits in its "
        "weights.",
        paper=PAPER,
        source=SOURCE,
        deviations=(
            "The prompt is parametric-qa-joint's without memories, which the model did not see in "
            "training.",
            "Its storage is that of the memory whose weights it has, codes and all.",
        ),
    )
    writes_as = "parametric-qa-joint"

    def _choose(self, query: Query) -> list[Chosen]:
        return []
