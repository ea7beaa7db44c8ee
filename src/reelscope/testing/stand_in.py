"""Answers that fit a JSON schema and say clearly that no model wrote them."""

from __future__ import annotations

import json
import re
from typing import Any

FRAME_TIME = re.compile(r"^frame\b[^\n]{0,60}?(\d+\.\d+) ?s\b", re.IGNORECASE | re.MULTILINE)
"""As a line of its own; what a caption says of frames stands inside other lines."""


def stand_in(schema: dict[str, Any], *, prompt: str = "") -> Any:
    """A value that the schema allows.

    Texts are "stand-in answer for <name>"; of several types or choices it is the first
    that is not null; an item of evidence names the first time of a frame that the prompt
    names. References ($ref) to the schema's own $defs are followed.
    """
    found = FRAME_TIME.search(prompt)
    return _Writer(schema, float(found[1]) if found else None).value(schema, "value", depth=0)


def prompt_of(body: dict[str, Any]) -> str:
    """All text of a request's messages."""
    return "\n".join(text for text, _ in _parts(body) if text is not None)


def image_count(body: dict[str, Any]) -> int:
    """Pictures in a request's messages."""
    return sum(image is not None for _, image in _parts(body))


def schema_of(body: dict[str, Any]) -> dict[str, Any] | None:
    """The JSON schema that a request asks for."""
    asked = body.get("response_format") or {}
    if asked.get("type") != "json_schema":
        return None
    return dict(asked["json_schema"]["schema"])


def stand_in_text(body: dict[str, Any], schema: dict[str, Any] | None) -> str:
    """The text of a good answer to a request: JSON if there is a schema, else a sentence."""
    wanted = schema_of(body) or schema
    if wanted is None:
        return "stand-in answer for a text"
    return json.dumps(stand_in(wanted, prompt=prompt_of(body)), ensure_ascii=False)


def _parts(body: dict[str, Any]) -> list[tuple[str | None, str | None]]:
    parts: list[tuple[str | None, str | None]] = []
    for message in body.get("messages", ()):
        content = message["content"]
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        for part in content:
            image = part["image_url"]["url"] if part["type"] == "image_url" else None
            parts.append((part.get("text"), image))
    return parts


class _Writer:
    def __init__(self, root: dict[str, Any], frame_s: float | None) -> None:
        self._root = root
        self._frame_s = frame_s

    def value(self, schema: dict[str, Any], name: str, *, depth: int) -> Any:
        if depth > 30:
            raise ValueError("a schema that goes round in circles")
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return next((choice for choice in schema["enum"] if choice is not None), None)
        kind = _first_type(schema)
        if kind == "object":
            return self._object(schema, name, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        return _scalar(schema, kind, name)

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while True:
            if "$ref" in schema:
                target: Any = self._root
                for step in schema["$ref"].removeprefix("#").strip("/").split("/"):
                    target = target[step] if step else target
                schema = target
            elif "anyOf" in schema:
                schema = next(s for s in schema["anyOf"] if s.get("type") != "null")
            else:
                return schema

    def _object(self, schema: dict[str, Any], name: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        if {"source", "time_s", "quote"} <= properties.keys():
            return {"source": "frame", "time_s": self._frame_s, "quote": None}
        return {
            key: self.value(inner, name if key == "value" else key, depth=depth + 1)
            for key, inner in properties.items()
        }

    def _array(self, schema: dict[str, Any], name: str, depth: int) -> list[Any]:
        items = self._resolved(schema.get("items", {"type": "string"}))
        needed = schema.get("minItems", 0)
        evidence = {"source", "time_s", "quote"} <= items.get("properties", {}).keys()
        if (evidence and self._frame_s is None) or schema.get("maxItems") == 0:
            return [self.value(items, name, depth=depth + 1)] * needed
        return [self.value(items, name, depth=depth + 1)] * max(1, needed)


def _first_type(schema: dict[str, Any]) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "null")
    return str(kind)


def _scalar(schema: dict[str, Any], kind: str, name: str) -> Any:
    low, high = schema.get("minimum"), schema.get("maximum")
    if kind == "boolean":
        return False
    if kind == "integer":
        return low if low is not None else min(1, high) if high is not None else 1
    if kind == "number":
        return (low + high) / 2 if low is not None and high is not None else low or 0.5
    if kind == "null":
        return None
    return f"stand-in answer for {name}"[: schema.get("maxLength")]
