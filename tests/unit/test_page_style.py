"""The sheet of the pages, computed: every ink on every paper it stands on has the contrast that eyes need."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from posthouse import web

SHEET = (Path(web.__file__).parent / "static" / "page.css").read_text(encoding="utf-8")
INKS = ("ink", "soft", "accent", "good", "warn", "bad")
PAPERS = ("paper", "sheet", "faint")
CONTRAST_MIN = 4.5
"""WCAG 2.2, 1.4.3, level AA, for text of any size."""


def palettes() -> dict[str, dict[str, str]]:
    """The colours by name, in light and in dark."""
    light, dark = re.findall(r":root \{(.*?)\}", SHEET, re.S)[:2]
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light))
    return {"light": found, "dark": {**found, **dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", dark))}}


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_computed_as_the_standard_says() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ink", INKS)
@pytest.mark.parametrize("paper", PAPERS)
def test_every_ink_can_be_read_on_every_paper(scheme: str, ink: str, paper: str) -> None:
    colours = palettes()[scheme]
    assert contrast(colours[ink], colours[paper]) >= CONTRAST_MIN


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_on_a_filled_button_can_be_read(scheme: str) -> None:
    colours = palettes()[scheme]
    assert contrast(colours["on-accent"], colours["accent"]) >= CONTRAST_MIN
    assert contrast(colours["paper"], colours["bad"]) >= CONTRAST_MIN


def test_the_sheet_names_no_colour_outside_its_palette_and_fetches_nothing() -> None:
    rules = re.sub(r"/\*.*?\*/|--[\w-]+: #[0-9a-f]{6};", "", SHEET, flags=re.S)
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b|rgb\(|hsl\(", rules) == []
    assert "url(" not in SHEET
    assert "@import" not in SHEET


def test_motion_is_only_for_those_who_want_it() -> None:
    still, _, moving = SHEET.partition("@media (prefers-reduced-motion: no-preference)")
    assert "animation" not in still
    assert "transition" not in still
    assert "animation" in moving


def test_whoever_uses_the_keyboard_sees_where_they_are() -> None:
    assert re.search(r":focus-visible \{ outline: 2px solid", SHEET)
