"""What is to be done at the end is done where Ctrl-C ends a command at once, also after a fault."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, signal, sys, time
from harness.cli.interrupts import ended_by_interrupts
from harness.boards.ending import also_at_end

def act(text):
    os.write(1, text)

def fail():
    raise OSError

with ended_by_interrupts(), also_at_end(fail), also_at_end(lambda: act(b"ended ")):
    with also_at_end(lambda: act(b"never ")):
        act(b"within ")
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(60)  # as one whose thread waits for a server
"""


def test_what_is_left_is_done_before_an_interrupted_command_ends():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=50
    )
    assert (done.returncode, done.stdout) == (130, "within ended "), done.stderr
