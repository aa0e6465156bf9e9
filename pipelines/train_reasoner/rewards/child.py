"""The scoring child, run as a module with ``FD PARENT_PID SCORER SETTINGS``.

Scores one completion after another until the connection FD closes. It may hang or die without
harm: its parent ends it. JSON both ways. A code is sent once and then named; the child asks for one
that it no longer keeps.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections import OrderedDict
from multiprocessing.connection import Connection
from typing import Any

from pipelines.train_reasoner.rewards.scorers import Scorer, item_from_json, load_scorer
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.text import from_json

#: Codes that a child keeps, the last used ones.
MAX_CODES = 256

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Load the scorer, say so, serve."""
    _die_with_parent(int(arguments[1]))
    connection = Connection(int(arguments[0]))
    try:
        scorer = load_scorer(arguments[2], json.loads(arguments[3]))
    except Exception as error:  # told to the parent, which knows what to do about it
        _send(connection, {"error": f"{type(error).__name__}: {error}"})
        return
    _send(connection, {"error": None})
    codes: OrderedDict[str, SpatialCode] = OrderedDict()
    while True:
        try:
            request = json.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        _send(connection, _answer(request, scorer, codes))


def _answer(
    request: dict[str, Any], scorer: Scorer, codes: OrderedDict[str, SpatialCode]
) -> dict[str, Any]:
    """Terms, total and reasons; or the error in their place; or that the code is missing."""
    code_id = request["code_id"]
    try:
        if request["code"] is not None:
            codes[code_id] = from_json(request["code"])
            while len(codes) > MAX_CODES:
                codes.popitem(last=False)
        if code_id not in codes:
            return {"needs_code": True}
        codes.move_to_end(code_id)
        item = item_from_json(request["item"])
        scored = scorer.score(item, codes[code_id], request["completion"])
    except Exception as error:  # the one boundary: any error masks this sample
        return {"error": f"{type(error).__name__}: {error}"}
    terms = None if scored.terms is None else dict(scored.terms)
    return {
        "terms": terms, "total": scored.total, "reasons": list(scored.reasons),
        "error": scored.error,
    }  # fmt: skip


def _send(connection: Connection[Any, Any], message: dict[str, Any]) -> None:
    connection.send_bytes(json.dumps(message).encode("ascii"))


def _die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to end this process with the thread that started it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        sys.exit("the parent is gone")


if __name__ == "__main__":
    main(sys.argv[1:])
