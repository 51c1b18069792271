"""A page in a real browser, headless: what stands in it once its script has run."""

import html.parser
import shutil
import subprocess

import pytest

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


class Page(html.parser.HTMLParser):
    """Ids, values of <data> elements, texts, and tags that are not closed."""

    VOID = frozenset({"meta", "link", "img", "input", "br", "hr"})

    def __init__(self, text):
        super().__init__()
        self.ids, self.labels, self.data, self.texts, self.attributes = [], [], {}, [], {}
        self.sources, self._open, self._skip = [], [], False
        self.feed(text)
        self.close()
        assert self._open == [], f"not closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if "id" in attributes:
            self.ids.append(attributes["id"])
            self.attributes[attributes["id"]] = attributes
        if tag == "body":
            self.attributes["body"] = attributes
        if tag == "label":
            self.labels.append(attributes["for"])
        if tag == "data":
            self.data[attributes["id"]] = float(attributes["value"])
        self.sources += [attributes[name] for name in ("src", "href") if name in attributes]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open and self._open[-1] == tag, f"</{tag}> closes {self._open[-1:]}"
        self._open.pop()

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def opened(path, folder, address=""):
    """The page as Chromium holds it; an error of its script fails."""
    done = subprocess.run(
        [
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000"),
            *("--enable-logging=stderr", f"--user-data-dir={folder / 'browser'}"),
            *("--dump-dom", f"{path.as_uri()}{address}"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not complaints, complaints
    return Page(done.stdout)
