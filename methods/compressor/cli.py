"""The command ``import-icae``: a checkpoint of ICAE's authors for compressor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import Device
from harness.files import check_writable

BASE = "mistral-7b-instruct-v0.2"


def import_icae(
    file: Annotated[Path, typer.Argument(help="The checkpoint, as safetensors.")],
    out: Annotated[Path, typer.Option(help="Folder for the shared parts.")],
    model: Annotated[str, typer.Option(help="The model that it was trained for.")] = BASE,
    device: Device = None,
) -> None:
    """Make shared parts of a checkpoint of ICAE's authors (sggetao/icae).

    Use the result with --method compressor -p shared=FOLDER and the same --model.
    """
    from harness.llm.local import LocalModel
    from harness.llm.open import open_model
    from harness.meters.hardware import default_device
    from methods.compressor.icae import import_icae as imported
    from methods.compressor.icae import read_icae
    from methods.parametric_qa.evaluate.evaluate_write import local_entry

    check_writable(out)
    config = local_entry(model).on(device or default_device())
    checkpoint = read_icae(file)
    llm = open_model(config, device=device)
    assert isinstance(llm, LocalModel)  # by its kind
    bundle = imported(checkpoint, llm, out)
    typer.echo(f"{bundle.parts.config.slots} vectors a passage, {bundle.parts.config.hidden} wide")
    typer.echo(
        f"use it: memory-harness run … --method compressor --model {model} -p shared={out} "
        "-p code_dtype=float16",
        err=True,
    )
