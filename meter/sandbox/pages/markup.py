"""HTML made of elements: whatever is not markup itself is escaped, and this is the only place that does it."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from string import Template

from meter.sandbox.rest.calls import Answer

_SKELETON = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>$title</title>$head
<style>
$style</style>
</head>
<body class="$look">
<main>$content</main>$script
</body>
</html>
""")
_KEEP_FRESH = """
setInterval(async () => {
  if (document.hidden || String(getSelection())) return;
  try {
    const page = new DOMParser().parseFromString(await (await fetch(location)).text(), "text/html");
    const before = document.querySelector("main"), after = page.querySelector("main");
    if (after && after.innerHTML !== before.innerHTML) before.replaceWith(after);
  } catch {}
}, 2000);
"""
_REFRESH = '<noscript><meta http-equiv="refresh" content="5"></noscript>'


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def element(name: str, *children: object, **attributes: str | None) -> Html:
    """`<name ...>children</name>`; an attribute of None is left out, and `_` at the end of its name as well."""
    given = {key.rstrip("_"): value for key, value in attributes.items() if value is not None}
    inside = "".join(f' {key}="{escape(value)}"' for key, value in given.items())
    return Html(f"<{name}{inside}>{joined(children)}</{name}>")


def joined(children: Iterable[object]) -> Html:
    """One after the other, escaped unless they are markup."""
    return Html("".join(child if isinstance(child, Html) else escape(str(child)) for child in children))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Html:
    """A table; a column whose name ends with `#` holds numbers, which stand on the right and have commas."""
    kinds = ["number" if column.endswith("#") else None for column in columns]
    head = [element("th", column.rstrip("#"), class_=kind) for column, kind in zip(columns, kinds, strict=True)]
    body = [
        element("tr", *(element("td", _shown(cell), class_=kind) for cell, kind in zip(row, kinds, strict=True)))
        for row in rows
    ]
    whole = element("table", element("thead", element("tr", *head)), element("tbody", *body))
    return element("div", whole, class_="scroll")


def page(title: str, *content: object, look: str = "wide", status: int = 200, fresh: bool = False) -> Answer:
    """An answer that a browser shows; `look` is wide or card, `fresh` keeps it up to date while it is looked at."""
    body = _SKELETON.substitute(
        title=escape(title),
        head=f"\n{_REFRESH}" if fresh else "",
        style=_style(),
        look=escape(look),
        content=joined(content),
        script=f"\n<script>{_KEEP_FRESH}</script>" if fresh else "",
    )
    headers = {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": _POLICY,
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    return Answer(status, body.encode("utf-8", "replace"), headers)


def _shown(cell: object) -> object:
    return f"{cell:,}" if isinstance(cell, int) else cell


@cache
def _style() -> str:
    return Path(__file__).with_name("pages.css").read_text(encoding="utf-8")


# Nothing from elsewhere, and no script but our own: what was recorded stays text even if it got past the escaping.
_POLICY = "; ".join(
    [
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        f"script-src 'sha256-{b64encode(sha256(_KEEP_FRESH.encode()).digest()).decode()}'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
