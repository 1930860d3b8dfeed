"""Samples as SVG: a panel a column, one below the other, with the same time axis.

Each panel begins at zero, so that what looks flat is flat. It knows lines and text, no more: no library is needed.
"""

from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, TOP, PANEL, GAP = 960, 90, 20, 50, 170, 50


def ceiling(value):
    """The next of 1, 2, 5 times a power of ten: the top of an axis."""
    power = 1.0
    while power * 10 <= value:
        power *= 10
    while power > value > 0:
        power /= 10
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value) if value > 0 else 1.0


def text(x, y, what, anchor="start", size=12):
    """One piece of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(what)}</text>'


def stroke(x1, y1, x2, y2, colour):
    """One straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def panel(points, title, top, span):
    """Frame, axis and curve of one column."""
    width, highest = WIDTH - LEFT - RIGHT, ceiling(max((y for _, y in points), default=1))
    out = [text(LEFT, top - 8, title, size=13)]
    for part in range(5):
        y = top + PANEL - PANEL * part / 4
        out += [stroke(LEFT, y, LEFT + width, y, "#ddd"), text(LEFT - 6, y + 4, f"{highest * part / 4:,g}", "end")]
    curve = " ".join(f"{LEFT + width * x / span:.1f},{top + PANEL - PANEL * y / highest:.1f}" for x, y in points)
    return out + [f'<polyline points="{curve}" fill="none" stroke="#1f5fa8" stroke-width="1.3"/>']


def drawn(samples, across, panels, title):
    """The whole picture. A sample without a value in a column has no point there."""
    height = TOP + len(panels) * (PANEL + GAP)
    span = max((each[across] for each in samples), default=1) or 1
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif">',
           f'<rect width="{WIDTH}" height="{height}" fill="white"/>', text(LEFT, 20, title, size=14)]
    for number, (column, name) in enumerate(panels):
        points = [(each[across], each[column]) for each in samples if each[column] != ""]
        out += panel(points, name, TOP + number * (PANEL + GAP), span)
    for part in range(5):
        x = LEFT + (WIDTH - LEFT - RIGHT) * part / 4
        out.append(text(x, height - GAP + 16, f"{span * part / 4:,.0f} {across}", "middle"))
    return "\n".join(out + ["</svg>", ""])
