"""``python -m tests.harness.faults killed|full FOLDER POINTS [ACT ...]``: a JSON line a fault."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import cast

from tqdm import tqdm

from harness.runs import provenance
from tests.harness.faults.acts import ACTS
from tests.harness.faults.files import write_files
from tests.harness.faults.meeting import How, Lab

os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")


def main() -> None:
    """Meet the fault in every act, or in those that are named."""
    how, folder, points = cast(How, sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    # The end of a process loses nothing that the system was given, so nobody waits for the disk.
    os.fsync = lambda _: None  # type: ignore[assignment]
    provenance.git_commit = lambda: None
    tqdm.monitor_interval = 0  # its thread would be forked
    lab = Lab(write_files(folder / "files"), folder)
    for act in sys.argv[4:] or ACTS:
        for met in lab.meet(act, how, points):
            print(json.dumps(asdict(met)), flush=True)


if __name__ == "__main__":
    main()
