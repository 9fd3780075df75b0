"""The manifest of a run that begins."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.trained_on import counts
from harness.llm.base import LanguageModel
from harness.retrieval.base import Retriever
from harness.retrieval.prebuilt import shown
from harness.runs.manifest import RUNNING, CardRecord, Hardware, Harness, Manifest
from harness.runs.provenance import harness_version, model_provenance, package_versions

if TYPE_CHECKING:
    from harness.runs.plan import RunPlan


def new_manifest(
    plan: RunPlan, llm: LanguageModel, retriever: Retriever | None, folder: Path
) -> Manifest:
    """What is known of a run before its first question: its plan, what runs it, and on what."""
    from harness.meters.hardware import describe_hardware

    model = model_provenance(llm, folder)
    hardware = describe_hardware().record(str(model.get("device", "remote")))
    return Manifest(
        schema_version=plan.config.schema_version,
        run_id=plan.config.run_id,
        config=plan.config,
        method_card=CardRecord(**asdict(plan.method.card)),
        non_default_params=shown(
            plan.method.params.model_dump(mode="json", exclude_defaults=True) | plan.method.variant
        ),
        **({"method_provenance": dict(places)} if (places := plan.method.provenance) else {}),
        model_provenance=model,
        retriever_provenance=retriever.provenance() if retriever else None,
        task_provenance=dict(plan.data.provenance),
        **plan.data.card.scored_otherwise,
        **({"trained_on": counts(plan.trained)} if plan.trained else {}),
        **({"demonstrations": plan.demonstrations} if plan.demonstrations else {}),
        **({"shard": plan.shard} if plan.shard else {}),
        hardware=Hardware(**hardware),
        harness=Harness(**harness_version()),
        packages=package_versions(),
        created=datetime.now(UTC).date().isoformat(),
        status=RUNNING,
    )
