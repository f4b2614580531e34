"""GET /openapi.json, and /docs: the same as one plain page, without a script or anything from elsewhere."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from services.gateway.http import JSON, Request, Response, Route
from services.gateway.openapi import document
from services.gateway.problem_codes import CODES

CACHE = ("cache-control", "public, max-age=300")
STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #8882; --accent: light-dark(#0b5cad, #7db7f5) }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1rem 1.5rem 6rem }
h1 { font-size: 1.7rem; margin: 1rem 0 .25rem }
h2 { margin-top: 2.75rem; border-bottom: 1px solid var(--line) }
h3 { margin: 2rem 0 .25rem; font-size: 1.05rem } p { margin: .35rem 0 }
a { color: var(--accent); text-decoration: none } a:hover { text-decoration: underline }
code { font: .9em/1.4 ui-monospace, Consolas, monospace; overflow-wrap: anywhere }
nav { columns: 19rem; margin: 1rem 0; font-size: .95rem } nav a { display: block }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; font-size: .93rem }
td { vertical-align: top; padding: .3rem .8rem .3rem 0; border-top: 1px solid var(--line) }
td:first-child { white-space: nowrap; width: 14rem }
pre { background: var(--soft); padding: .6rem .8rem; overflow-x: auto; font-size: .85rem }
.method { display: inline-block; min-width: 5.4rem; font-weight: 700 }
.soft { opacity: .72 } :target { background: var(--soft) }
@media (max-width: 40rem) { td:first-child { white-space: normal; width: auto } }
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CONTENT_SECURITY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class HttpDocs:
    """Of the routes that are given, and of its own."""

    def __init__(self, routes: Sequence[Route]) -> None:
        all_routes = [*routes, *self.routes()]
        told = document(all_routes)
        self._json = json.dumps(told).encode()
        self._page = page(told).encode()

    def routes(self) -> list[Route]:
        return [
            Route(
                *("GET", "/openapi.json", self._openapi),
                {
                    "summary": "This document",
                    "responses": {"200": {"description": "OpenAPI 3.1."}},
                    "security": [],
                },
            ),
            Route(
                *("GET", "/docs", self._docs),
                {
                    "summary": "This document as a page",
                    "responses": {"200": {"description": "HTML."}},
                    "security": [],
                },
            ),
        ]

    async def _openapi(self, request: Request) -> Response:
        return Response(200, self._json, [JSON, CACHE])

    async def _docs(self, request: Request) -> Response:
        return Response(
            200,
            self._page,
            [
                ("content-type", "text/html; charset=utf-8"),
                ("content-security-policy", CONTENT_SECURITY),
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "no-referrer"),
                CACHE,
            ],
        )


def page(told: Mapping[str, Any]) -> str:
    return "".join(_page(told))


def _page(told: Mapping[str, Any]) -> Iterator[str]:
    title = escape(told["info"]["title"])
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<style>{STYLE}</style></head><body>"
    yield f"<h1>{title}</h1><p>{escape(told['info']['description'])}</p>"
    yield "<p>Every request carries <code>Authorization: Bearer KEY</code> unless said otherwise. "
    yield 'The whole as <a href="/openapi.json">OpenAPI 3.1</a>.</p><nav>'
    operations = [
        (method.upper(), path, operation)
        for path, methods in told["paths"].items()
        for method, operation in methods.items()
    ]
    for method, path, operation in operations:
        yield f'<a href="#{escape(operation["operationId"])}">{method} {escape(path)}</a>'
    yield '<a href="#problems">Problems</a><a href="#schemas">Schemas</a></nav><h2>Requests</h2>'
    for method, path, operation in operations:
        yield from _operation(method, path, operation)
    yield '<h2 id="problems">Problems</h2><p>A refusal is an RFC 9457 problem document, '
    yield '<a href="#ProblemDetails">ProblemDetails</a>; of a batch, each result has its own. '
    yield "Its code is one of these.</p><table>"
    for code, meaning in CODES.items():
        yield f'<tr id="{code}"><td><code>{code}</code></td><td>{escape(meaning)}</td></tr>'
    yield '</table><h2 id="schemas">Schemas</h2>'
    for name, schema in told["components"]["schemas"].items():
        yield from _schema(name, schema)
    yield "</body></html>"


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f'<h3 id="{escape(operation["operationId"])}"><span class="method">{method}</span>'
    yield f"<code>{escape(path)}</code></h3><p>{escape(operation['summary'])}.</p>"
    if "description" in operation:
        yield f"<p>{escape(operation['description'])}</p>"
    if operation.get("security") == []:
        yield '<p class="soft">Without the header Authorization.</p>'
    rows = [
        (
            f"{each['name']} <span class=soft>{each['in']}</span>",
            escape(each.get("description", "")),
        )
        for each in operation["parameters"]
    ]
    body = operation.get("requestBody", {}).get("content", {})
    for each in body.values():
        if "example" in each:
            yield f"<pre>{escape(json.dumps(each['example'], indent=2, ensure_ascii=False))}</pre>"
    rows += [
        (f"{escape(kind)} <span class=soft>body</span>", _kind(each.get("schema", {})))
        for kind, each in body.items()
    ]
    rows += [
        (f"{status} <span class=soft>answer</span>", _answer(each))
        for status, each in operation["responses"].items()
    ]
    yield _table(rows)


def _answer(response: Mapping[str, Any]) -> str:
    if "$ref" in response:
        # OpenAPI 3.1 lets a reference have a description of its own.
        said = escape(response.get("description", "Any other refusal."))
        return f'{said} <a href="#ProblemDetails">ProblemDetails</a>'
    schemas = [_kind(each.get("schema", {})) for each in response.get("content", {}).values()]
    return " ".join([escape(response["description"]), *schemas])


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f'<h3 id="{escape(name)}">{escape(name)}</h3>'
    yield f"<p>{escape(schema.get('description', ''))}</p>"
    needed = schema.get("required", ())
    yield _table(
        [
            (
                f"<code>{escape(field)}</code>{' *' if field in needed else ''}",
                f"{_kind(each)}<br>{escape(each.get('description', ''))}",
            )
            for field, each in schema.get("properties", {}).items()
        ]
    )
    if "oneOf" in schema:
        choice = ", ".join(
            f"<code>{escape(each['required'][0])}</code>" for each in schema["oneOf"]
        )
        yield f'<p class="soft">Exactly one of {choice}.</p>'


def _kind(schema: Mapping[str, Any]) -> str:
    """A schema in a few words, with a link to what has a name."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(map(_kind, schema[several]))
    if "enum" in schema:
        return " · ".join(f"<code>{escape(each)}</code>" for each in schema["enum"])
    if schema.get("type") == "array":
        most = f"at most {schema['maxItems']} " if "maxItems" in schema else ""
        return f"array of {most}{_kind(schema['items'])}"
    said = [str(schema.get("type", schema.get("const", "")))]
    said += [
        f"{word} {schema[name]}"
        for name, word in (
            ("format", "as"),
            ("contentEncoding", "as"),
            ("pattern", "like"),
            ("maxLength", "of at most"),
            ("minimum", "from"),
            ("maximum", "to"),
        )
        if name in schema
    ]
    return f'<span class="soft">{escape(" ".join(said))}</span>'


def _table(rows: Sequence[tuple[str, str]]) -> str:
    if not rows:
        return ""
    return f"<table>{''.join(f'<tr><td>{name}</td><td>{told}</td></tr>' for name, told in rows)}</table>"
