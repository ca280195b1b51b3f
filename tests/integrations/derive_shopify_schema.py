"""Derive the part of Shopify's Admin schema that our operations reach, as SDL on standard output.

    python -m tests.integrations.derive_shopify_schema admin_2026-10.json.gz > …/shopify_admin_2026_10.graphql

The argument is the introspection result that the npm package @shopify/dev-mcp carries under `dist/data`. With
`--check` nothing is derived: every document is validated against the whole schema, and its errors are printed.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    build_client_schema,
    get_named_type,
    parse,
    print_schema,
    validate,
    visit,
)

from integrations.channels import shopify_queries, shopify_stock

MODULES: tuple[ModuleType, ...] = (shopify_queries, shopify_stock)
SOURCE = "@shopify/dev-mcp 1.16.0 (npm), dist/data/{name}; ISC License, Copyright 2025-present, Shopify Inc."
NOTICE = (
    "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby\n"
    "# granted, provided that the above copyright notice and this permission notice appear in all copies."
)

Type = dict[str, Any]


def documents() -> dict[str, str]:
    """Every GraphQL document that is sent to Shopify, by the name of its constant."""
    return {
        name: value
        for module in MODULES
        for name, value in vars(module).items()
        if isinstance(value, str) and not name.startswith("_") and value.lstrip().startswith(("query ", "mutation "))
    }


def errors_of(schema: GraphQLSchema, document: str) -> list[GraphQLError]:
    """What stands against a document, by all the rules of the GraphQL specification."""
    return validate(schema, parse(document))


class Reached(Visitor):
    """The fields that documents select, by type; and the named types of variables, conditions and fields."""

    def __init__(self, types: TypeInfo) -> None:
        super().__init__()
        self._types = types
        self.fields: dict[str, set[str]] = {}
        self.types: set[str] = set()

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        """A field is selected."""
        parent, found = self._types.get_parent_type(), self._types.get_field_def()
        assert parent is not None and found is not None, f"{node.name.value} is not in the schema"
        self.fields.setdefault(parent.name, set()).add(node.name.value)
        self.types |= {parent.name, get_named_type(found.type).name}


def trimmed(introspection: Any, sent: list[DocumentNode]) -> Any:
    """The same introspection result with only what these documents reach: the fields that they select with all of
    their arguments, and every input type that those may hold."""
    schema = build_client_schema(introspection, assume_valid=True)
    types = TypeInfo(schema)
    reached = Reached(types)
    for document in sent:
        visit(document, TypeInfoVisitor(types, reached))
    whole: dict[str, Type] = {one["name"]: one for one in introspection["__schema"]["types"]}
    kept = {name: _only(whole[name], reached) for name in reached.types}
    directives = [one for one in introspection["__schema"]["directives"] if one["name"] == "idempotent"]
    waiting = [argument for one in directives for argument in one["args"]]
    waiting += [argument for one in kept.values() for field in one["fields"] or [] for argument in field["args"]]
    while waiting:
        name = _named(waiting.pop()["type"])
        if name not in kept:
            kept[name] = whole[name]
            waiting += whole[name].get("inputFields") or []
    told = {**introspection["__schema"], "directives": directives, "subscriptionType": None}
    return {"__schema": {**told, "types": [kept[name] for name in sorted(kept)]}}


def _only(whole: Type, reached: Reached) -> Type:
    """A type with the fields that are selected; interfaces are left out, a union keeps the members that are."""
    fields = [field for field in whole.get("fields") or [] if field["name"] in reached.fields.get(whole["name"], ())]
    members = [member for member in whole.get("possibleTypes") or [] if member["name"] in reached.types]
    assert whole["kind"] != "INTERFACE", f"{whole['name']}: say how documents may select from an interface"
    return {**whole, "fields": fields, "interfaces": [], "possibleTypes": members}


def _named(type_: Type) -> str:
    while type_.get("ofType"):
        type_ = type_["ofType"]
    return str(type_["name"])


def _without_words(value: Any) -> Any:
    """The same without descriptions."""
    if isinstance(value, list):
        return [_without_words(item) for item in value]
    if isinstance(value, dict):
        return {key: None if key == "description" else _without_words(item) for key, item in value.items()}
    return value


def main(arguments: list[str]) -> None:
    """Print the SDL, or with `--check` the errors."""
    path = Path(arguments[-1])
    introspection: Any = json.loads(gzip.decompress(path.read_bytes()))["data"]
    found = documents()
    if "--check" in arguments:
        schema = build_client_schema(introspection, assume_valid=True)
        wrong = {name: errors for name, document in found.items() if (errors := errors_of(schema, document))}
        print(f"{path.name}: {len(found)} documents, {sum(map(len, wrong.values()))} errors", *wrong.items())
        return
    told = trimmed(_without_words(introspection), [parse(document) for document in found.values()])
    print(f"# The part of Shopify's Admin API schema that our operations reach.\n#\n# {SOURCE.format(name=path.name)}")
    print(f"# {NOTICE}\n")
    print(print_schema(build_client_schema(told, assume_valid=True)))


if __name__ == "__main__":
    main(sys.argv[1:])
