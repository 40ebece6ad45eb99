"""Figures as parts of a page: SVG whose colours are the page's, whose text is text."""

from __future__ import annotations

import hashlib
import re
from io import BytesIO
from xml.etree import ElementTree as ET

from matplotlib.figure import Figure

from benchmark.report.figures.drawing import any_script
from benchmark.report.palette import PALETTE
from benchmark.report.pictures import own_style
from synthetic.names import printable

_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}\b")
_REFERENCE = re.compile(r"url\(#([^)]*)\)")
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_FONT = re.compile(r"font: (?:(?P<weight>bold|[1-9]00) )?(?P<size>[\d.]+)px [^;]*")
_DEFAULTS = (
    "font-family",
    "stroke-miterlimit",
    "stroke-linecap: butt",
)
_CORNERS = re.compile(r"M (\S+) (\S+) L (\S+) \2 L \3 (\S+) L \1 \4 z\s*")
_BLACK = "#000000"
_LEFT_OUT = ("", "metadata", "style")


def themed_svg(figure: Figure, *, title: str, description: str) -> str:
    """Return a figure as inline SVG for a page of any theme.

    Colours become ``var(--ink)``, ``var(--series-1)`` and so on, each with its colour in the light as the
    fallback; text stays text, in the page's font. There are no scripts, references to elsewhere, dates or
    versions: the same figure gives the same bytes. Identifiers and classes hold a digest of the picture, so
    that several fit into one page.

    Args:
        figure: drawn with the colours of ``benchmark.report.palette`` (black counts as ink).
        title: what it shows, for those who do not see it.
        description: what is to be seen in it.

    Raises:
        ValueError: if the figure has a colour that is not the palette's, or holds pixels.
    """
    raw = _drawn(figure)
    digest = hashlib.sha256(f"{raw}\0{title}\0{description}".encode("utf-8", "replace")).hexdigest()
    return _Page(f"f{digest[:8]}").svg(ET.fromstring(raw), title, description)  # noqa: S314 - matplotlib's own


def _drawn(figure: Figure) -> str:
    """Return what matplotlib writes, with text as text."""
    buffer = BytesIO()
    with own_style({"svg.hashsalt": "plumbline", "svg.fonttype": "none"}), any_script():
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue().decode()


class _Page:
    """One picture on its way into a page: renames, repaints and shrinks its elements."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.names: dict[str, str] = {}
        self.classes: dict[str, str] = {}

    def svg(self, root: ET.Element, title: str, description: str) -> str:
        """Return the finished picture."""
        _, _, width, _ = (float(value) for value in root.attrib["viewBox"].split())
        referred = set(_references(root))
        body = [part for child in root if (part := self._clean(child, referred)) is not None]
        page = ET.Element(
            "svg",
            {
                "xmlns": _SVG[1:-1],
                "id": self.prefix,
                "viewBox": _rounded(root.attrib["viewBox"]),
                "role": "img",
                "aria-labelledby": f"{self.prefix}-t {self.prefix}-d",
                # Letters of 7 points are drawn as 12 pixels or so, and never larger.
                "style": f"--full:{width * 1.6:.0f}px;width:100%;max-width:var(--full);height:auto;"
                f"font-family:inherit;fill:{_paint(PALETTE.ink)}",
            },
        )
        for name, text in (("title", title), ("desc", description)):
            ET.SubElement(page, name, {"id": f"{self.prefix}-{name[0]}"}).text = printable(text)
        sheet = ET.SubElement(page, "style")
        sheet.text = "".join(f"#{self.prefix} .{name}{{{rule}}}" for rule, name in self.classes.items())
        page.extend(body)
        return ET.tostring(page, encoding="unicode").replace(" />", "/>")

    def _clean(self, element: ET.Element, referred: set[str]) -> ET.Element | None:
        """Return a smaller copy of an element; None for what shows nothing."""
        tag = element.tag.removeprefix(_SVG) if isinstance(element.tag, str) else ""
        if tag == "image":
            raise ValueError("A picture for a page must be drawn of lines and text alone. Got pixels in it.")
        rule = self._rule(element.attrib.get("style", ""))
        if tag in _LEFT_OUT or _shows_nothing(tag, rule, element):
            return None
        children = [part for child in element if (part := self._clean(child, referred)) is not None]
        attributes = self._attributes(element, referred)
        if tag in ("g", "defs") and not attributes and len(children) <= (tag == "g"):
            return children[0] if children else None
        if rule:
            attributes["class"] = self.classes.setdefault(rule, f"c{len(self.classes):x}")
        copy = ET.Element(tag, attributes)
        copy.text = element.text if tag in ("text", "tspan") else None
        copy.extend(children)
        return copy

    def _attributes(self, element: ET.Element, referred: set[str]) -> dict[str, str]:
        found = {}
        for key, value in element.attrib.items():
            name = key.removeprefix(_XLINK)
            if name == "style" or (name == "id" and value not in referred):
                continue
            if name == "transform" and value.startswith(("rotate(-0 ", "rotate(0 ")):
                continue
            found[name] = self._attribute(name, value, places=2 if "id" in element.attrib else 1)
        return found

    def _attribute(self, name: str, value: str, *, places: int) -> str:
        if name == "id":
            return self._renamed(value)
        if name == "href":
            return f"#{self._renamed(value[1:])}"
        if name == "d":
            return _path(value, places=places)
        if "url(" in value:
            return _REFERENCE.sub(lambda match: f"url(#{self._renamed(match[1])})", value)
        return self._painted(_rounded(value, places=places))

    def _rule(self, style: str) -> str:
        """Return the declarations of an element, repainted, without those that say the default."""
        style = _FONT.sub(
            lambda font: (
                f"font-size:{float(font['size']):g}px"
                + (";font-weight:bold" if font["weight"] in ("bold", "700") else "")
            ),
            style,
        )
        parts = [part.strip() for part in style.split(";")]
        kept = [part for part in parts if part and not part.startswith(_DEFAULTS)]
        text = ";".join(part.replace(": ", ":") for part in kept)
        # Colours first: the names that references get may look like some.
        return _REFERENCE.sub(lambda match: f"url(#{self._renamed(match[1])})", self._painted(_rounded(text)))

    def _painted(self, text: str) -> str:
        return _COLOUR.sub(lambda colour: _paint(colour[0]), text)

    def _renamed(self, name: str) -> str:
        return self.names.setdefault(name, f"{self.prefix}-{len(self.names)}")


def _shows_nothing(tag: str, rule: str, element: ET.Element) -> bool:
    """Return whether an element is a path without paint, that nothing refers to."""
    return (
        tag == "path" and "id" not in element.attrib and (rule == "fill:none" or rule.endswith(";opacity:0"))
    )


def _references(root: ET.Element) -> list[str]:
    found = []
    for element in root.iter():
        for value in element.attrib.values():
            found += _REFERENCE.findall(value)
        if reference := element.attrib.get(f"{_XLINK}href"):
            found.append(reference[1:])
    return found


def _paint(colour: str) -> str:
    """Return the custom property that a colour stands for."""
    colour = PALETTE.ink if colour.lower() == _BLACK else colour.lower()
    if colour not in PALETTE.properties:
        raise ValueError(
            f"A picture for a page must be drawn with the palette's colours alone. Got {colour}: take one of "
            "benchmark.report.palette.PALETTE."
        )
    return f"var({PALETTE.properties[colour]},{colour})"


def _path(text: str, *, places: int) -> str:
    """Return a path in fewer letters."""
    text = _CORNERS.sub(r"M \1 \2 H \3 V \4 H \1 z", " ".join(_rounded(text, places=places).split()))
    return re.sub(r" ?([A-Za-z]) ?", r"\1", text)


def _rounded(text: str, *, places: int = 2) -> str:
    """Return a text with its numbers, in points, as fine as screens show."""
    return _NUMBER.sub(lambda number: _short(float(number[0]), places), text)


def _short(value: float, places: int = 2) -> str:
    text = f"{value:.{places}f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
