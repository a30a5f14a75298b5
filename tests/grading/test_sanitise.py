"""Nothing active gets from a student's notebook to a page."""

import base64
import io
import struct

import pytest
from jinja2 import Environment
from PIL import Image

from bncourse.grading import sanitise
from bncourse.grading.pixels import is_picture
from bncourse.grading.sanitise import clean_outputs, cut_to, safe_code, safe_markdown
from bncourse.limits import Limits

from .test_normalise import PIXEL


def rendered(source, attachments=None, name="markdown2html", resources=None):
    environment = Environment(autoescape=False)
    environment.filters |= {"markdown2html": safe_markdown, "highlight_code": safe_code}
    template = environment.from_string(f"{{{{ cell.source | {name} }}}}")
    cell = {"source": source, "attachments": attachments or {}}
    return template.render(cell=cell, resources={} if resources is None else resources)


@pytest.mark.parametrize(
    "source",
    [
        "<script>EVIL()</script>",
        "<SCRIPT SRC=//evil></SCRIPT>",
        "<img src=x onerror=EVIL()>",
        "<svg onload=EVIL()>",
        "<iframe src='javascript:EVIL()'></iframe>",
        "[x](javascript:EVIL())",
        "[x](JaVaScRiPt:EVIL())",
        "[x](data:text/html,<script>EVIL()</script>)",
        "<a href=' data:text/html,EVIL'>x</a>",
        "<a href='&#100;ata:text/html,EVIL'>x</a>",
        "[x](plot.html)",
        "[x](/api/terminals)",
        "<a href='//evil/plot.html'>x</a>",
        "<pre class=mermaid>EVIL</pre>",
        "```mermaid\nEVIL\n```",
        "<b id=submit>x</b>",
        "<div style='background:url(//evil)' onmouseover='EVIL()'>x</div>",
        "![x](http://evil/track.png)",
        "<style>body { display: none }</style>",
        "<form action=//evil><input name=a></form>",
        "<meta http-equiv=refresh content='0;url=//evil'>",
    ],
)
def test_active_markdown_is_disarmed(source):
    html = rendered(source).lower()
    for tag in ("script", "iframe", "svg", "style", "form", "input", "meta", "object"):
        assert f"<{tag}" not in html
    for word in (
        " onerror",
        " onload",
        " onmouseover",
        " style=",
        " class=",
        " id=",
        " href=",
    ):
        assert not any(word in part.split(">")[0] for part in html.split("<")[1:])
    assert "<img" not in html or "src=" not in html


def test_ordinary_markdown_stays():
    link = "[paper](https://arxiv.org/abs/1502.03167)"
    html = rendered(f"## Why\n\n- *mean* and `code`\n\n$a_b < c$\n\n| a |\n|---|\n| 1 |\n\n{link}")
    assert 'href="https://arxiv.org/abs/1502.03167"' in html
    for part in ("<h2", "<li>", "<em>mean</em>", "<code>code</code>", "$a_b &lt; c$", "<td"):
        assert part in html


def test_a_pasted_picture_is_shown():
    html = rendered("![d](attachment:d.png)", {"d.png": {"image/png": PIXEL}})
    assert f'src="data:image/png;base64,{PIXEL}"' in html


def test_a_picture_in_the_text_is_shown_and_does_not_count_as_text():
    picture = PIXEL + 50_000 * "A"
    html = rendered(f"*before*\n\n![d](data:image/png;base64,{picture})")
    assert "<em>before</em>" in html
    assert f'src="data:image/png;base64,{picture}"' in html
    assert 'alt="d"' in html


def test_outputs_keep_text_and_pixels_only():
    (output,) = clean_outputs(
        [
            {
                "output_type": "execute_result",
                "data": {
                    "text/plain": "\x1b[31mred",
                    "text/html": "<script>EVIL",
                    "image/svg+xml": "<svg onload=EVIL>",
                    "application/javascript": "EVIL",
                    "image/png": PIXEL,
                    "image/jpeg": PIXEL,
                },
                "metadata": {"evil": 1},
            }
        ],
        Limits(),
    )
    assert output.output_type == "display_data"
    assert dict(output.data) == {"text/plain": "[31mred", "image/png": PIXEL}
    assert output.metadata == {}


@pytest.mark.parametrize(
    "outputs",
    [
        None,
        "text",
        [1],
        [{}],
        [{"output_type": "update_display_data"}],
        [{"output_type": "stream"}],
        [{"output_type": "stream", "name": "stdout", "text": ["a"]}],
        [{"output_type": "error", "ename": "a", "evalue": "b", "traceback": "c"}],
        [{"output_type": ["stream"], "name": "stdout", "text": "a"}],
    ],
)
def test_odd_outputs_are_an_error_of_a_known_kind(outputs):
    with pytest.raises((TypeError, ValueError, KeyError)):
        clean_outputs(outputs, Limits())


def png_of(width, height):
    head = struct.pack(">II", width, height) + bytes(5)
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + head).decode()


def jpeg_of(width, height):
    comment = b"\xff\xfe" + struct.pack(">H", 4) + b"hi"
    frame = b"\xff\xc2" + struct.pack(">HBHH", 17, 8, height, width)
    return base64.b64encode(b"\xff\xd8" + comment + frame).decode()


@pytest.mark.parametrize(("mime", "made"), [("image/png", png_of), ("image/jpeg", jpeg_of)])
def test_a_picture_of_a_billion_pixels_goes(mime, made):
    def shown(content):
        bundle = {"output_type": "display_data", "data": {mime: content}}
        return mime in clean_outputs([bundle], Limits())[0].data

    assert shown(made(800, 600))
    assert not shown(made(32_000, 32_000))
    assert not shown(made(0, 600))
    assert not shown(made(800, 600)[:12])
    other = png_of if made is jpeg_of else jpeg_of
    assert not shown(other(800, 600))


def _address(side):
    return f"data:image/png;base64,{png_of(side, side)}"


@pytest.mark.parametrize(
    "source",
    ["![d]({})", "<img alt=d src='{}'>", "![d][r]\n\n[r]: {}\n", "[![d]({})](https://a.org)"],
)
def test_a_picture_of_a_billion_pixels_in_the_text_goes(source):
    assert _address(800) in rendered(source.format(_address(800)))
    html = rendered(source.format(_address(32_000)))
    assert "data:" not in html
    assert 'alt="d"' in html


def test_what_calls_itself_a_picture_in_the_text_goes():
    assert "data:" not in rendered('<img src="data:image/png;base64,PHN2Zz4=">')
    hidden = base64.b64encode(base64.b64decode(png_of(8, 8)).replace(b"IHDR", b"tEXt")).decode()
    assert "data:" not in rendered(f"![d](data:image/png;base64,{hidden})")


def test_a_picture_that_is_named_a_thousand_times_is_shown_a_few(monkeypatch):
    content = png_of(8, 8)
    monkeypatch.setattr(sanitise, "_MOST_PICTURES", 10 * len(content))
    attachments = {"d": {"image/png": content}}
    resources = {}
    for source in ("![](attachment:d)" * 40, "![][d] " * 40 + "\n\n[d]: attachment:d"):
        html = rendered(source, attachments, resources=resources)
        assert html.count("data:") == (10 if "](" in source else 0)
        assert html.count("<img") == 40


def test_a_picture_in_lines_is_shown():
    html = rendered("![d](attachment:d)", {"d": {"image/png": f"{PIXEL[:9]}\n{PIXEL[9:]}\n"}})
    assert f'src="data:image/png;base64,{PIXEL}"' in html


def test_a_picture_that_is_not_there_leaves_its_name():
    assert 'alt="d"' in rendered("![d](attachment:e)") == rendered("![d](&#97;ttachment:e)")


def test_the_pixels_of_a_notebook_are_bounded():
    resources = {}
    few = [rendered(f"![d]({_address(4000)})", resources=resources) for _ in range(20)]
    assert sum("data:" in html for html in few) == 16
    bundle = {"output_type": "display_data", "data": {"image/png": png_of(4000, 4000)}}
    kept, _ = cut_to(clean_outputs([bundle] * 40, Limits()), Limits().shown)
    assert len(kept) == 17
    assert "cut here" in kept[-1].text


def test_a_picture_that_a_library_wrote_stays():
    for mime, kind in (("image/png", "png"), ("image/jpeg", "jpeg")):
        file = io.BytesIO()
        Image.new("RGB", (40, 30), "white").save(file, kind)
        assert is_picture(base64.b64encode(file.getvalue()).decode(), mime, 10**6)


def test_outputs_are_bounded_again_outside():
    flood = [{"output_type": "stream", "name": "stdout", "text": "x" * 1000}] * 10_000
    assert len(str(clean_outputs(flood, Limits()))) < 4 * Limits().output


def test_pictures_are_bounded_in_a_cell_and_text_and_pictures_in_a_notebook():
    picture = {"output_type": "display_data", "data": {"image/png": PIXEL + "A" * 1_000_000}}
    kept = clean_outputs([picture] * 10, Limits())
    assert len(kept) == 2
    room = 3_000_000
    first, room = cut_to(kept, room)
    assert first == kept
    second, room = cut_to(kept, room)
    assert "cut here" in second[-1].text
    assert len(str(second)) < 500
    assert cut_to([], room) == ([], 0)


@pytest.mark.parametrize("text", [r"\begin{a}", "<div>", "[", "*a "])
def test_markdown_without_end_is_shown_as_it_is(text):
    # Rendering it would take minutes.
    html = rendered(text * 20_000 + "<script>EVIL()</script>")
    assert html.startswith("<pre>")
    assert "<script" not in html


def test_tags_that_multiply_are_shown_as_they_are():
    # A tag left open is opened again in each paragraph: 8 kB become gigabytes.
    opened = "".join(f"<b id={number}>" for number in range(120))
    assert rendered(opened + "<p>x</p>" * 120).startswith("<pre>&lt;b")
    few = "<b>x</b> $a < b$ " * 20
    assert "<b>x</b>" in rendered(few)


def test_many_outputs_cost_more_than_their_letters():
    outputs = [{"output_type": "display_data", "data": {"text/plain": ""}}] * 99
    of_a_cell = clean_outputs(outputs, Limits())
    assert len(of_a_cell) == 99
    shown, room = [], Limits().shown
    for _ in range(1900):
        kept, room = cut_to(of_a_cell, room)
        shown += kept
    assert len(shown) < 6000


def test_code_is_shown_in_colours():
    html = rendered("def f(x):\n    return '<script>'", name="highlight_code")
    assert '<span class="k">def</span>' in html
    assert "<script" not in html


@pytest.mark.parametrize("text", [" \n", "\t\r", ".", "r.", "'" * 3])
def test_code_without_end_is_shown_as_it_is(text):
    # The lexer would not be done within a day.
    html = rendered(text * 200_000 + "x = '<script>'", name="highlight_code")
    assert html.startswith("<pre>")
    assert "<script" not in html


def test_lines_of_blanks_are_shown_without_them():
    # The lexer takes half a minute for eight thousand of them.
    html = rendered(" \n\t\r" * 1000 + "x = 1", name="highlight_code")
    assert '<span class="n">x</span>' in html
    assert " \n" not in html


@pytest.mark.parametrize("name", ["markdown2html", "highlight_code"])
def test_what_turns_the_order_of_letters_goes(name):
    html = rendered("ab \u202e\u2066cd\u2069 \u05d0", name=name)
    assert not {*html} & {*"\u202e\u2066\u2069"}
    assert "\u05d0" in html


def test_colours_are_bounded_in_a_notebook():
    resources = {}
    shown = [rendered("x = 1\n" * 1000, None, "highlight_code", resources) for _ in range(30)]
    assert "<span" in shown[0]
    assert shown[-1].startswith("<pre>x = 1")
