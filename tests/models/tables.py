"""Decision tables for tests, written as rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def jdm(inputs: Sequence[str], outputs: Sequence[str], rows: Sequence[Sequence[str]], **content: Any) -> dict[str, Any]:
    """A whole model, as the editor writes it, that collects. An input "" has no field; its cells are conditions.

    The rows are `r1`, `r2`, …; a row has a cell for each input, then one for each output.
    """
    ids = [*(f"i{number}" for number in range(len(inputs))), *(f"o{number}" for number in range(len(outputs)))]
    table = {
        "hitPolicy": "collect",
        "inputs": [{"id": f"i{n}", "name": field or "条件", "field": field} for n, field in enumerate(inputs)],
        "outputs": [{"id": f"o{n}", "name": field, "field": field} for n, field in enumerate(outputs)],
        "rules": [{"_id": f"r{number}", **dict(zip(ids, cells, strict=True))} for number, cells in enumerate(rows, 1)],
        **content,
    }
    nodes = [("in", "inputNode", {}), ("table", "decisionTableNode", table), ("out", "outputNode", {})]
    at = {"x": 0, "y": 0}
    return {
        "nodes": [{"id": i, "name": i, "type": kind, "position": at, "content": what} for i, kind, what in nodes],
        "edges": [
            {"id": f"{source}-{target}", "type": "edge", "sourceId": source, "targetId": target}
            for source, target in (("in", "table"), ("table", "out"))
        ],
    }
