"""``python -m tests.harness.faults FOLDER POINTS [ACT ...]``: a JSON line for each fault met."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from harness.runs import provenance
from tests.harness.faults.acts import ACTS
from tests.harness.faults.files import write_files
from tests.harness.faults.meeting import Lab


def main() -> None:
    """Meet each fault at so many changes of each act, or of those that are named."""
    folder, points = Path(sys.argv[1]), int(sys.argv[2])
    os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
    # The end of a process loses nothing that the system was given, so nobody waits for the disk.
    os.fsync = lambda _: None  # type: ignore[assignment]
    provenance.git_commit = lambda: None
    tqdm.monitor_interval = 0  # its thread would be forked
    lab = Lab(write_files(folder / "files"), folder)
    for act in sys.argv[3:] or ACTS:
        for met in lab.meet(act, points):
            print(json.dumps(asdict(met)), flush=True)


if __name__ == "__main__":
    main()
