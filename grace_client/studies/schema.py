"""The format of a study file as JSON Schema: `grace study schema` writes it."""

from __future__ import annotations

from typing import Any

from grace_client.studies.format import StudyFile


def published() -> dict[str, Any]:
    """The format as JSON Schema (draft-07, which editors know best)."""

    def older(node: Any) -> Any:
        if isinstance(node, list):
            return [older(one) for one in node]
        if not isinstance(node, dict):
            return node
        if "prefixItems" in node:
            node = {"items" if key == "prefixItems" else key: value for key, value in node.items()}
        return {
            {"$defs": "definitions"}.get(key, key): value.replace("#/$defs/", "#/definitions/")
            if key == "$ref"
            else older(value)
            for key, value in node.items()
        }

    found: dict[str, Any] = older(StudyFile.model_json_schema())
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "A study of grace"} | found
