"""Bars as SVG, written by hand: one for each part of a whole, the largest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, LABELS, ROW, HEAD, FOOT = 720, 190, 22, 54, 26
_LONGEST = WIDTH - LABELS - 70
COLOURS = {"ours": "#2f6f9f", "library": "#b7791f", "user": "#3f8f5b", "machine": "#8a8f98"}
KINDS = {"ours": "Holdfast", "library": "a library", "user": "the user", "machine": "the machine"}


@dataclass(frozen=True, slots=True)
class Bar:
    """One part of the whole.

    Attributes:
        share: of the whole, 0 to 1.
        kind: whose it is, a key of `COLOURS`.
    """

    label: str
    share: float
    kind: str


def picture(title: str, caption: str, bars: Sequence[Bar]) -> str:
    """Return the picture; it is readable on a light and on a dark page."""
    height = HEAD + ROW * len(bars) + FOOT
    longest = max(bar.share for bar in bars)
    told = ", ".join(f"{bar.label} {bar.share:.0%}" for bar in bars)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(told)}</desc>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="600">{escape(title)}</text>',
        f'<text x="12" y="41" fill="#555b64">{escape(caption)}</text>',
    ]
    for number, bar in enumerate(bars):
        y = HEAD + ROW * number
        length = _LONGEST * bar.share / longest
        lines += [
            f'<text x="{LABELS - 8}" y="{y + 15}" text-anchor="end">{escape(bar.label)}</text>',
            f'<rect x="{LABELS}" y="{y + 3}" width="{length:.1f}" height="{ROW - 6}" '
            f'fill="{COLOURS[bar.kind]}"/>',
            f'<text x="{LABELS + length + 6:.1f}" y="{y + 15}">{bar.share:.1%}</text>',
        ]
    lines += _legend({bar.kind for bar in bars}, height)
    return "\n".join([*lines, "</svg>", ""])


def _legend(kinds: set[str], height: int) -> list[str]:
    lines: list[str] = []
    for number, kind in enumerate(kind for kind in KINDS if kind in kinds):
        x = LABELS + 120 * number
        lines += [
            f'<rect x="{x}" y="{height - 18}" width="10" height="10" fill="{COLOURS[kind]}"/>',
            f'<text x="{x + 15}" y="{height - 9}" fill="#555b64">{KINDS[kind]}</text>',
        ]
    return lines
