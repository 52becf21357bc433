"""Listings as web pages. Pure.

Ids and classes are those that Swift's documentation lets style sheets count on.
"""

from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from proxy.objects.model import CommonPrefix
from proxy.swift.listing import Item, text_of, time_text
from storage.messages import Row

_STYLE = """  <style type="text/css">
   body {font-family: sans-serif;}
   h1 {font-size: 1em;}
   th {text-align: left;}
   th, td {padding: 0 1em;}
   a {text-decoration: none;}
  </style>
"""
_UNITS = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


def listing(
    items: Sequence[Item], label: str, css: str, prefix: str, has_parent: bool, parameters: str = ""
) -> str:
    """Return what is directly under `prefix`, directories first; every link has the query `parameters`."""
    query = f"?{escape(parameters)}" if parameters else ""
    rows = [_row("item", "../", "../", query, row_id="parent")] if has_parent else []
    for item in items:
        if isinstance(item, CommonPrefix):
            name = str(item)[len(prefix) :]
            rows.append(_row("item subdir", f"./{_link(name)}", name, query))
    for item in items:
        if isinstance(item, Row) and item.name != prefix:
            name = item.name[len(prefix) :]
            kinds = " ".join(f"type-{part.lower()}" for part in text_of(item.content_type).split("/"))
            when = time_text(item.modified_us).partition(".")[0].replace("T", " ")
            rows.append(_row(f"item {kinds}", f"./{_link(name)}", name, query, size_text(item.size), when))
    heading = "".join(
        f'    <th class="{kind}">{title}</th>\n'
        for kind, title in (("colname", "Name"), ("colsize", "Size"), ("coldate", "Date"))
    )
    return _page(
        label,
        css,
        prefix,
        f'  <h1 id="title">Listing of {escape(label)}</h1>\n  <table id="listing">\n   <tr id="heading">\n'
        f"{heading}   </tr>\n{''.join(rows)}  </table>\n",
    )


def no_listing(label: str, css: str, prefix: str, index: str) -> str:
    """Return what a visitor sees where there would be a listing if the owner wanted one."""
    body = "  <h1>Web Listing Disabled</h1>\n  <p>This site shows no listings (X-Container-Meta-Web-Listings).</p>\n"
    if index:
        body += f"  <p>There is no <b>{escape(index)}</b> here (X-Container-Meta-Web-Index).</p>\n"
    return _page(label, css, prefix, body)


def size_text(size: int) -> str:
    """Return a number of bytes for people: "17", "5Ki", "2Mi"."""
    unit = 0
    while size >= 1024 and unit + 1 < len(_UNITS):
        size, unit = round(size / 1024), unit + 1
    return f"{size}{_UNITS[unit]}"


def _link(name: str) -> str:
    """Return a relative URL; dots are encoded, so that no name means another directory."""
    return quote(name).replace(".", "%2E")


def _row(
    kind: str, link: str, name: str, query: str, size: str = "&nbsp;", when: str = "&nbsp;", row_id: str = ""
) -> str:
    identity = f' id="{row_id}"' if row_id else ""
    return (
        f'   <tr{identity} class="{escape(kind)}">\n'
        f'    <td class="colname"><a href="{link}{query}">{escape(name)}</a></td>\n'
        f'    <td class="colsize">{size}</td>\n    <td class="coldate">{when}</td>\n   </tr>\n'
    )


def _page(label: str, css: str, prefix: str, body: str) -> str:
    style = f'  <link rel="stylesheet" type="text/css" href="{_css_path(css, prefix)}" />\n' if css else _STYLE
    return (
        f"<!DOCTYPE html>\n<html>\n <head>\n  <title>Listing of {escape(label)}</title>\n{style} </head>\n"
        f" <body>\n{body} </body>\n</html>\n"
    )


def _css_path(css: str, prefix: str) -> str:
    """Return the style sheet's URL: relative to the container unless it is whole."""
    if css.startswith(("/", "http://", "https://")):
        return quote(css, safe=":/")
    return "../" * prefix.count("/") + quote(css)
