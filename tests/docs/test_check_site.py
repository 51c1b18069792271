"""A broken link, or a file fetched from elsewhere, is found on small pages made for it."""

import pytest

from docs.check_site import problems

GOOD = """<html><head><link rel="stylesheet" href="_static/a.css?v=1">
<link rel="next" href="b.html"></head><body><h1 id="top">A</h1><a href="#top">up</a>
<a href="b.html#far%20away">b</a>
<a href="https://example.org/paper">a link that a reader may follow</a> <a href="folder/">f</a>
<img src="data:image/png;base64,AAAA"><a href="mailto:a@b.c">m</a></body></html>"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "_static").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "_static/a.css").write_text("body { background: url('a.png') }")
    (tmp_path / "folder/index.html").write_text("<a href='../a.html'>a</a>")
    (tmp_path / "a.html").write_text(GOOD)
    (tmp_path / "b.html").write_text("<p id='far away'>b</p>")
    return tmp_path


def test_a_good_site_has_no_problem(site):
    assert problems(site) == []


@pytest.mark.parametrize(
    ("added", "complaint"),
    [
        ("<a href='c.html'>c</a>", "a.html: c.html leads nowhere"),
        ("<a href='b.html#gone'>b</a>", "a.html: b.html#gone: no such place on that page"),
        ("<img src='gone.png'>", "a.html: gone.png leads nowhere"),
        ("<script src='https://cdn.net/x.js'></script>", "a.html: loads https://cdn.net/x.js"),
        ("<link rel='stylesheet' href='//cdn.net/x.css'>", "a.html: loads //cdn.net/x.css"),
    ],
)
def test_what_is_wrong_is_named(site, added, complaint):
    (site / "a.html").write_text(GOOD.replace("</body>", f"{added}</body>"))
    assert problems(site) == [complaint]


def test_a_style_that_fetches_a_font_is_named(site):
    (site / "_static/a.css").write_text("@font-face { src: url(https://fonts.net/f.woff2) }")
    assert problems(site) == ["_static/a.css: loads https://fonts.net/f.woff2"]


def test_an_empty_folder_is_no_site(tmp_path):
    assert problems(tmp_path) == [f"{tmp_path.name}: holds no page"]
