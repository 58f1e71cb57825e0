"""Fills a JSON schema from what a text says: always valid, and true to the text where the text tells."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from kilocode_gateway.local.evidence import PLACE_WORDS, Evidence, Found
from kilocode_gateway.local.words import STOP, stem, words

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACES = {
    "city",
    "location",
    "place",
    "country",
    "town",
    "destination",
    "origin",
    "region",
    "address",
    "where",
    "capital",
    "area",
}
_WHOLE = {
    "query",
    "question",
    "input",
    "text",
    "message",
    "content",
    "prompt",
    "request",
    "task",
    "instruction",
    "search",
    "q",
    "sentence",
}
_SUMS = {"expression", "formula", "equation", "calculation", "expr", "math"}
_DAYS = {"date", "day", "when", "time", "datetime", "deadline", "birthday"}
_DATE = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:T[\d:.]+Z?)?|\b(?:today|tomorrow|yesterday|tonight|(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b",
    re.IGNORECASE,
)
_FORMATS: dict[str, tuple[str, str]] = {
    "date": (r"\d{4}-\d{2}-\d{2}", "2026-01-01"),
    "date-time": (r"\d{4}-\d{2}-\d{2}T[\d:.]+(?:Z|[+-]\d\d:\d\d)?", "2026-01-01T12:00:00Z"),
    "time": (r"\b\d{2}:\d{2}(?::\d{2})?\b", "12:00:00"),
    "email": (r"[\w.+-]+@[\w-]+\.[\w.]*\w", "user@example.com"),
    "uri": (r"https?://[^\s\"'<>]+", "https://example.com"),
    "uuid": (r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "00000000-0000-4000-8000-000000000000"),
    "ipv4": (r"\b\d{1,3}(?:\.\d{1,3}){3}\b", "127.0.0.1"),
}
_PATTERNS: tuple[tuple[set[str], str | re.Pattern[str]], ...] = (
    ({"email", "mail"}, _FORMATS["email"][0]),
    ({"url", "link", "website"}, _FORMATS["uri"][0]),
    (_DAYS, _DATE),
)
_DEEPEST = 8
_LIST = re.compile(r":\s*([^.:\n]+(?:,|\band\b)[^.:\n]+)")
_MISSING = object()


def fill(schema: Mapping[str, Any], evidence: Evidence) -> Any:
    """Give a value that the schema allows."""
    return _Filler(schema, evidence).value(schema, "", required=True, depth=0)


class _Filler:
    def __init__(self, root: Mapping[str, Any], evidence: Evidence) -> None:
        self.root = root
        self.evidence = evidence
        self.counting = False
        """Whether the object at hand needs numbers: then its optional ones take theirs too."""

    def resolve(self, schema: Any) -> dict[str, Any]:
        """Follow references and join what must hold at once."""
        found = dict(schema) if isinstance(schema, dict) else {}
        for _ in range(_DEEPEST):
            if isinstance(reference := found.pop("$ref", None), str):
                target: Any = self.root
                for part in reference.removeprefix("#").strip("/").split("/"):
                    target = (
                        target.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(target, dict) else {}
                    )
                found = {**(target if isinstance(target, dict) else {}), **found}
            elif isinstance(parts := found.pop("allOf", None), list):
                for part in parts:
                    found = _joined(self.resolve(part), found)
            else:
                break
        return found

    def value(self, schema: Any, name: str, *, required: bool, depth: int) -> Any:
        """Give a value for a property, or _MISSING where it may be left out and nothing speaks for one."""
        found = self.resolve(schema)
        if name and name in self.evidence.hints:
            return self.evidence.hints[name]
        if "const" in found:
            return found["const"]
        if isinstance(found.get("enum"), list) and found["enum"]:
            return self._choice(found, required=required)
        for key in ("anyOf", "oneOf"):
            if isinstance(options := found.get(key), list) and options:
                return self._option({**found, key: options}, options, name, required=required, depth=depth)
        kind = found.get("type")
        if isinstance(kind, list):
            nullable = "null" in kind
            kind = next((one for one in kind if one != "null"), "null")
            if nullable:
                value = self._typed(found, kind, name, required=False, depth=depth)
                return None if required and value is _MISSING else value
        if kind is None:
            kind = "object" if "properties" in found else "array" if "items" in found else "string"
        return self._typed(found, kind, name, required=required, depth=depth)

    def _option(self, found: dict[str, Any], options: list[Any], name: str, *, required: bool, depth: int) -> Any:
        resolved = [self.resolve(option) for option in options]
        real = [option for option in resolved if option.get("type") != "null"]
        nullable = len(real) < len(resolved)
        outer = {key: found[key] for key in ("description", "title", "default") if key in found}
        for option in real:
            value = self.value({**outer, **option}, name, required=False, depth=depth)
            if value is not _MISSING:
                return value
        if nullable or not real:
            return None if required else _MISSING
        return self.value({**outer, **real[0]}, name, required=required, depth=depth)

    def _typed(self, found: dict[str, Any], kind: str, name: str, *, required: bool, depth: int) -> Any:
        if kind == "object":
            return self._object(found, required=required, depth=depth)
        if kind == "array":
            return self._array(found, name, required=required, depth=depth)
        if kind in ("integer", "number"):
            return self._number(found, name, whole=kind == "integer", required=required)
        if kind == "boolean":
            return self._boolean(found, name, required=required)
        return None if kind == "null" else self._string(found, name, required=required)

    def _object(self, found: dict[str, Any], *, required: bool, depth: int) -> Any:
        properties = found.get("properties")
        if depth > _DEEPEST or (not required and (not isinstance(properties, dict) or depth > 1)):
            return _MISSING if not required else {}
        result = {}
        needed = found.get("required") if isinstance(found.get("required"), list) else []
        schemas = properties if isinstance(properties, dict) else {}
        self.counting = any(
            self.resolve(schemas.get(name)).get("type") in ("integer", "number") for name in needed or ()
        )
        for name, schema in schemas.items():
            value = self.value(schema, name, required=name in (needed or ()), depth=depth + 1)
            if value is not _MISSING:
                result[name] = value
        return result

    def _array(self, found: dict[str, Any], name: str, *, required: bool, depth: int) -> Any:
        items = self.resolve(found.get("items", {}))
        least = int(found.get("minItems", 0))
        most = int(found.get("maxItems", 10**6))
        if depth > _DEEPEST:
            return []
        prefix = found.get("prefixItems")
        if isinstance(prefix, list):
            return [self.value(schema, name, required=True, depth=depth + 1) for schema in prefix]
        values = self._listed(items)
        if not values and not required and not (_stems(name) & self.evidence.stems):
            return found.get("default", _MISSING)
        while len(values) < max(least, min(1, most)):
            values.append(self.value(items, _singular(name), required=True, depth=depth + 1))
            if len(values) > 1 and found.get("uniqueItems") and values[-1] in values[:-1]:
                values[-1] = f"{values[-1]} {len(values)}" if isinstance(values[-1], str) else len(values)
        return values[:most]

    def _listed(self, items: dict[str, Any]) -> list[Any]:
        """List what the text enumerates."""
        if items.get("type") in ("integer", "number"):
            free = [number for number in self.evidence.numbers if not number.used]
            for number in free:
                number.used = True
            return [
                value
                for number in free
                if (value := _fitted(number.value, items, whole=items["type"] == "integer")) is not None
            ]
        if isinstance(items.get("enum"), list):
            return [value for value in items["enum"] if _stems(str(value)) & self.evidence.stems]
        if (
            items.get("type", "string") == "string"
            and "properties" not in items
            and (match := _LIST.search(self.evidence.text))
        ):
            return [part for part in (part.strip(" \"'`") for part in re.split(r",|\band\b", match[1])) if part]
        return []

    def _choice(self, found: dict[str, Any], *, required: bool) -> Any:
        said = [
            value
            for value in found["enum"]
            if isinstance(value, str) and _stems(value) and _stems(value) <= self.evidence.stems
        ]
        said += [
            value
            for value in found["enum"]
            if not isinstance(value, (str, bool)) and value is not None and self._says(value)
        ]
        if said:
            return said[0]
        if "default" in found:
            return found["default"]
        return found["enum"][0] if required else _MISSING

    def _says(self, value: Any) -> bool:
        return any(number.value == str(value) for number in self.evidence.numbers)

    def _number(self, found: dict[str, Any], name: str, *, whole: bool, required: bool) -> Any:
        near = self._near(name, found)
        for candidates in (near, self.evidence.numbers if required or self.counting or near is not None else []):
            for number in candidates or ():
                value = _fitted(number.value, found, whole=whole)
                if not number.used and value is not None:
                    number.used = True
                    return value
        if not required:
            return found["default"] if found.get("default") is not None else _MISSING
        for number in self.evidence.numbers:
            if (value := _fitted(number.value, found, whole=whole)) is not None and "default" not in found:
                return value
        return _least(found, whole=whole)

    def _near(self, name: str, found: dict[str, Any]) -> list[Found] | None:
        """List the numbers beside the parameter's own words; None when the text does not say these words."""
        own = _stems(name) | ({"year", "old"} if name == "age" else set())
        if not own & self.evidence.stems and "age" not in words(name):
            own = {part for part in _stems(str(found.get("description", ""))) if part in self.evidence.stems}
        if not own & (self.evidence.stems | {"age"}):
            return None
        near = []
        for number in self.evidence.numbers:
            around = self.evidence.text[max(0, number.start - 25) : number.start + 25]
            if own & {stem(word) for word in words(around)}:
                near.append(number)
        return near

    def _boolean(self, found: dict[str, Any], name: str, *, required: bool) -> Any:
        said = _stems(name) & self.evidence.stems
        if not said:
            return found.get("default", False if required else _MISSING)
        return not self._denied(name)

    def _denied(self, name: str) -> bool:
        """Say whether the text wants this not to be."""
        label = words(name)[-1] if words(name) else name
        return bool(
            re.search(
                rf"\b(?:no|not|without|don't|never|isn't)\s+(?:\w+\s+)?{re.escape(label)}",
                self.evidence.text,
                re.IGNORECASE,
            )
        )

    def _string(self, found: dict[str, Any], name: str, *, required: bool) -> Any:
        value = self._said(found, name, required=required)
        if value is None:
            mentioned = _stems(name) <= self.evidence.stems and not self._denied(name)
            if found.get("default") is not None or (not required and not mentioned and "default" in found):
                return found["default"]
            if not required and not mentioned:
                return _MISSING
            value = self._invented(name)
        return _shaped(value, found, self.evidence)

    def _said(self, found: dict[str, Any], name: str, *, required: bool) -> str | None:
        """Give what the text says of a parameter, or None."""
        evidence, own = self.evidence, set(words(name))
        if isinstance(form := found.get("format"), str) and form in _FORMATS:
            match = re.search(_FORMATS[form][0], evidence.text)
            return match[0] if match else (_FORMATS[form][1] if required else None)
        for names, pattern in _PATTERNS:
            if own & names and (match := re.search(pattern, evidence.text)):
                return match[0]
        if own & _SUMS and evidence.expression:
            return evidence.expression
        if (label := evidence.labelled(words(name))) and not own & _WHOLE:
            return label
        quoted = evidence.take(evidence.quoted) if own & _WHOLE or required else None
        if quoted is None and own & _WHOLE and required:
            return evidence.text.strip()
        return quoted or self._named(own, found, required=required)

    def _named(self, own: set[str], found: dict[str, Any], *, required: bool) -> str | None:
        evidence = self.evidence
        hints = own | set(words(str(found.get("description", ""))))
        place = own & _PLACES or (not own & {"name", "title"} and hints & _PLACES)
        if place:
            before = {"origin": ("from",), "destination": ("to",)}.get(
                next(iter(own & {"origin", "destination"}), ""), PLACE_WORDS
            )
            near = evidence.take(evidence.names, lambda found: found.before in before)
            if name := near or evidence.take(evidence.names):
                return name
            match = re.search(rf"\b(?:{'|'.join(PLACE_WORDS[:4])}|for)\s+(?:the\s+)?([a-z][\w-]+)", evidence.text)
            return match[1] if match and match[1] not in STOP else None
        if "name" in own or required:
            # Whoever is not "in", "at" or "from" somewhere is likelier a name than a place.
            apart = evidence.take(evidence.names, lambda found: found.before not in PLACE_WORDS[:4])
            return apart or evidence.take(evidence.names)
        return None

    def _invented(self, name: str) -> str:
        """Give a text where none is told: what the tools said, or one that says what it stands for."""
        own = set(words(name))
        if self.evidence.told:
            return self.evidence.told
        if own & _PLACES:
            return "Paris"
        return "Alex" if "name" in own else f"The {' '.join(words(name)) or 'value'} about {self.evidence.topic}."


def _joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    both = {**first, **second}
    if "properties" in first and "properties" in second:
        both["properties"] = {**first["properties"], **second["properties"]}
    if "required" in first and "required" in second:
        both["required"] = [*first["required"], *second["required"]]
    return both


def _stems(text: str) -> set[str]:
    return {stem(word) for word in words(text)}


def _singular(name: str) -> str:
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else name


def _bounds(schema: Mapping[str, Any], *, whole: bool) -> tuple[float, float]:
    step = 1 if whole else 1e-6
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf) + step)
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf) - step)
    return low, high


def _fitted(text: str, schema: Mapping[str, Any], *, whole: bool) -> int | float | None:
    """Read a number, or give None where the schema does not allow it."""
    value = float(text)
    low, high = _bounds(schema, whole=whole)
    step = schema.get("multipleOf")
    if not low <= value <= high or (whole and not value.is_integer()) or (step and value % step):
        return None
    return int(value) if value.is_integer() else value


def _least(schema: Mapping[str, Any], *, whole: bool) -> int | float:
    """Give a plain number that the schema allows: its default, else the one nearest to 1."""
    if isinstance(default := schema.get("default"), (int, float)):
        return default
    low, high = _bounds(schema, whole=whole)
    value = min(max(1, low), high)
    if step := schema.get("multipleOf"):
        value = math.ceil(max(low, step if low == -math.inf else low) / step) * step
    return math.ceil(value) if whole else value


def _shaped(value: str, schema: Mapping[str, Any], evidence: Evidence) -> str:
    """Bend a string to pattern and lengths."""
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        try:
            match = None if re.search(pattern, value) else re.search(pattern.strip("^$"), evidence.text)
        except re.error:
            match = None
        value = match[0] if match else value
    value = value[: schema.get("maxLength", None)]
    return value.ljust(int(schema.get("minLength", 0)), ".")
