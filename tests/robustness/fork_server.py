"""Runs command lines in processes that can be killed: forked from one that has imported everything, so that each
starts at once.

It reads a JSON object ``{"arguments", "log", "limit"}`` a line, and answers with the process id, then the exit code.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import traceback

import matplotlib.pyplot  # noqa: F401
import tensorboard.summary  # noqa: F401
import torch

import rxt_mrl.cli
import rxt_mrl.model.kernels
import rxt_mrl.pipeline.train

torch.set_num_threads(1)


def run(arguments: list[str], log: str, limit: int | None) -> None:
    """What a shell would do in a new process; does not come back."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):  # a test that runs in the background inherits ignored ones
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY))  # the orders have been read from the one before
    sys.argv = ["rxt-mrl", *arguments]
    try:
        rxt_mrl.cli.main()
    except Exception:
        traceback.print_exc()
        raise SystemExit(1) from None
    raise SystemExit(0)


for line in sys.stdin:
    order = json.loads(line)
    process = os.fork()
    if not process:
        run(order["arguments"], order["log"], order["limit"])
    print(process, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
