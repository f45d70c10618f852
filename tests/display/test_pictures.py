"""Lines of a picture can be told apart: also by people with two kinds of cones, and also without colors."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from rxt_mrl.display.pictures import CONTROL, OTHER, STYLES

# Viénot, Brettel and Mollon (1999) for protanopia and deuteranopia, Brettel's single plane for tritanopia: linear RGB.
SEEN = {
    "all cones": np.eye(3),
    "protanopia": np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]]),
    "deuteranopia": np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]),
    "tritanopia": np.array([[1.01277, 0.13548, -0.14826], [-0.01243, 0.86812, 0.14431], [0.07589, 0.805, 0.11911]]),
}
APART = 15.0
"""Least distance in CIE Lab; about 2 is just noticeable side by side."""


def lab(color: str, seen: np.ndarray) -> np.ndarray:
    """CIE Lab (D65) of an sRGB color as it is seen."""
    srgb = np.array([int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(seen @ linear, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(first: str, second: str, seen: np.ndarray) -> float:
    return float(np.linalg.norm(lab(first, seen) - lab(second, seen)))


@pytest.mark.parametrize("eyes", SEEN)
def test_colors_can_be_told_apart(eyes: str) -> None:
    colors = [style.color for style in (*STYLES, CONTROL, OTHER)]
    for first, second in combinations(colors, 2):
        assert distance(first, second, SEEN[eyes]) >= APART, (first, second)
    for color in colors:
        assert distance(color, "#ffffff", SEEN[eyes]) >= APART, color


def test_the_check_sees_red_and_green() -> None:
    assert distance("#d62728", "#7f7f00", SEEN["all cones"]) > APART
    assert distance("#b05a00", "#6f7f00", SEEN["protanopia"]) < APART


def test_lines_can_be_told_apart_without_colors() -> None:
    styles = (*STYLES, CONTROL, OTHER)
    assert len({style.marker for style in styles}) == len(styles)
    assert len({str(style.dashes) for style in STYLES}) == len(STYLES)
