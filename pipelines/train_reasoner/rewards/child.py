"""The scoring child, run as a module with ``FD PARENT_PID SCORER SETTINGS``.

Scores one completion after another until the connection FD closes. It may hang or die without
harm: its parent ends it (`spatialcode.child`). A code is sent once and then named; the child asks
for one that it no longer keeps.
"""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from typing import Any

from pipelines.train_reasoner.rewards.scorers import Scorer, item_from_json, load_scorer
from spatialcode.child import parent_connection, requests_of, send
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.text import from_json

#: Codes that a child keeps, the last used ones.
MAX_CODES = 256


def main(arguments: list[str]) -> None:
    """Load the scorer, say so, serve."""
    connection, (name, settings) = parent_connection(arguments)
    try:
        scorer = load_scorer(name, json.loads(settings))
    except Exception as error:  # told to the parent, which knows what to do about it
        send(connection, {"error": f"{type(error).__name__}: {error}"})
        return
    send(connection, {"error": None})
    codes: OrderedDict[str, SpatialCode] = OrderedDict()
    for request in requests_of(connection):
        send(connection, _answer(request, scorer, codes))


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


if __name__ == "__main__":
    main(sys.argv[1:])
