"""Whether the built site stands on its own: no broken link, nothing fetched from elsewhere.

    python docs/check_site.py site

A link to another host is fine where a reader clicks it; what a browser loads by itself (scripts,
styles, images, fonts) must lie in the site.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
FETCHED = re.compile(r"(?:url\(|@import )\s*['\"]?((?:https?:)?//[^'\")]+)")
NOT_LOADED = {"canonical", "author", "license", "next", "prev", "search", "index", "genindex"}


class Page(HTMLParser):
    """Links, loaded files and anchors of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif given.get(LOADED.get(tag)):
            followed = tag == "link" and given.get("rel") in NOT_LOADED
            (self.links if followed else self.loaded).append(given[LOADED[tag]])


def problems(site):
    """One line for each thing that is wrong, "PAGE: what"."""
    site = Path(site).resolve()
    paths = [path for path in sorted(site.rglob("*.html")) if path.parent.name != "_static"]
    pages = {path: Page(path.read_text()) for path in paths}  # _static holds templates of the theme
    if not pages:
        return [f"{site.name}: holds no page"]
    found = []
    for path, page in pages.items():
        found += [
            f"{path.relative_to(site)}: {complaint}"
            for address in (*page.links, *page.loaded)
            if (complaint := _wrong(address, path, pages, address in page.loaded))
        ]
    for path in site.rglob("*.css"):
        fetched = re.findall(
            r"(?:url\(|@import )\s*['\"]?((?:https?:)?//[^'\")]+)", path.read_text()
        )
        found += [f"{path.relative_to(site)}: loads {address}" for address in fetched]
    return list(dict.fromkeys(found))


def _wrong(address, path, pages, is_loaded):
    parts = urlsplit(address)
    if parts.scheme in {"data", "mailto", "javascript"}:
        return None
    if parts.scheme or parts.netloc:
        return f"loads {address}" if is_loaded else None
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return f"{address} leads nowhere"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return f"{address}: no such place on that page"
    return None


if __name__ == "__main__":
    wrong = problems(sys.argv[1])
    print("\n".join(wrong) or f"{sys.argv[1]}: every link leads somewhere, nothing is fetched")
    sys.exit(bool(wrong))
