"""Registration of the model ``memory``, for releases of lm-eval that read no entry points."""

from __future__ import annotations

# Imported for its registrations: lm-eval takes a table that is not empty for complete.
import lm_eval.models  # noqa: F401
from lm_eval.api.registry import model_registry

MODEL = "memory"

if MODEL not in list(model_registry.keys()):
    model_registry.register(MODEL, target="harness.lm_eval_plugin.model:MemoryLM")
