"""Where the phantom's organs lie, how dense they are, and what each latent feature changes.

A latent's physical value is ``mean + sd·z``. Attenuations imitate the portal-venous phase, which is
how most abdominal CT is read. Fixed points from the literature: fat −190…−30 HU and muscle −29…150 HU
(Aubrey et al. 2014, Acta Physiologica 210:489), trabecular bone of L1 between 110 HU (likely osteoporosis)
and 160 HU (unlikely; Pickhardt et al. 2013, Annals of Internal Medicine 158:588). The other means are
typical values of enhanced organs. The spreads, and the independence of the organs, are design choices:
every latent changes the image about as much as any other, and stays inside the display window up to |z| = 4.

The lesion imitates what is seen in the liver in that phase: nearly all contrasts are negative, from a
cyst's −100 HU over a metastasis' −50 HU to none. It is small on purpose, a sixth of the stomach whose column
it takes, and lies elsewhere in every patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from synthetic.phantom_canvas import Array, Canvas, Values

BLACK = -200.0
"""HU of air, gas and lung: all lie below the window, and soft edges are to be soft after windowing."""
WHITE = 300.0
"""HU of the window's upper end. Width 500 HU, level 50 HU: an abdominal window opened up for bone."""

FIELD_OF_VIEW: Mapping[str, float] = MappingProxyType({"axial": 350.0, "coronal": 400.0})
"""Side length of the square slice, mm."""

N_MOVES = 7
"""Nuisance displacements (x, y) of single organs that a view uses."""
N_TEXTURES = 9
"""Nuisance attenuations of single bowel loops and sizes of gas pockets that a view uses at most."""
N_PLACE = 2
"""Nuisance numbers behind the place of a lesion."""

VISCERAL_FAT = -95.0
_FAT = -105.0
_SINUS = -40.0  # fat and collecting system of the kidney
_SKIN = 20.0
_CORTEX = 260.0
_RIB = 200.0
_DISC = 90.0
_MOVE_SD = 0.6  # mm
_TEXTURE_SD = 6.0  # HU
_LESION_RADIUS = 14.0  # mm
# Centres of lesions (mm): along a quarter of an ellipse, from the right flank to the left lobe, and a little
# to either side. There a whole lesion is in the liver, at all but extreme sizes of liver and body, and clear
# of gallbladder, kidney and vessels.
_LESION_ARC_CENTRE = (-28.0, -8.0)
_LESION_ARC = (64.0, 50.0)
_LESION_ARC_SPREAD = 0.06  # share of the half axes


@dataclass(frozen=True)
class Latent:
    """One latent feature and the physical quantity that it stands for: ``mean + sd·z``.

    Attributes:
        name: e.g. ``"liver_attenuation"``.
        mean: the quantity at z = 0.
        sd: its change per unit of z.
        unit: ``"HU"`` or ``"mm"``.
    """

    name: str
    mean: float
    sd: float
    unit: str


ANATOMY: Mapping[str, tuple[Latent, ...]] = MappingProxyType(
    {
        "axial": (
            Latent("liver_attenuation", 105.0, 15.0, "HU"),
            Latent("muscle_attenuation", 45.0, 17.0, "HU"),
            Latent("spleen_attenuation", 120.0, 29.0, "HU"),
            Latent("kidney_enhancement", 175.0, 27.0, "HU"),
            Latent("vertebra_density", 160.0, 33.0, "HU"),
            Latent("vessel_enhancement", 155.0, 35.0, "HU"),
            Latent("stomach_attenuation", 30.0, 28.0, "HU"),
            Latent("fat_thickness", 18.0, 2.1, "mm"),
            Latent("liver_size", 62.0, 3.7, "mm"),
            Latent("body_width", 132.0, 2.2, "mm"),
        ),
        "coronal": (
            Latent("liver_attenuation", 105.0, 17.0, "HU"),
            Latent("muscle_attenuation", 45.0, 15.0, "HU"),
            Latent("spleen_attenuation", 120.0, 33.0, "HU"),
            Latent("kidney_enhancement", 175.0, 29.0, "HU"),
            Latent("spine_density", 160.0, 17.0, "HU"),
            Latent("diaphragm_height", 140.0, 3.4, "mm"),
            Latent("bladder_attenuation", 60.0, 34.0, "HU"),
            Latent("pelvis_density", 170.0, 22.0, "HU"),
            Latent("bowel_attenuation", 60.0, 36.0, "HU"),
            Latent("fat_thickness", 18.0, 2.2, "mm"),
        ),
    }
)


LESION_CONTRAST = Latent("lesion_contrast", -60.0, 30.0, "HU")
"""Attenuation of a focal liver lesion, less that of the liver around it."""

LATENTS_OF_KIND: Mapping[str, Mapping[str, tuple[Latent, ...]]] = MappingProxyType(
    {
        "anatomy": ANATOMY,
        "lesion": MappingProxyType(
            {
                "axial": tuple(
                    LESION_CONTRAST if latent.name == "stomach_attenuation" else latent
                    for latent in ANATOMY["axial"]
                ),
                "coronal": ANATOMY["coronal"],
            }
        ),
    }
)
"""Kind of latent features → view → its latents. What is not among them is painted at its mean."""


def paint(
    view: str, canvas: Canvas, latents: Array, moves: Array, textures: Array, place: Array, *, kind: str
) -> None:
    """Paint k slices of a view.

    Args:
        view: ``"axial"`` or ``"coronal"``.
        canvas: receives the organs.
        latents: standardised ``[k, 10]``, columns as in ``LATENTS_OF_KIND[kind][view]``.
        moves: standard normals ``[k, 2 · N_MOVES]``, displacements of organs.
        textures: standard normals ``[k, N_TEXTURES]``.
        place: standard normals ``[k, N_PLACE]``, where a lesion lies.
        kind: ``"anatomy"``, or ``"lesion"`` for a lesion in the axial view's liver.
    """
    quantities: dict[str, Values] = {latent.name: latent.mean for latent in ANATOMY[view]}
    for latent, z in zip(LATENTS_OF_KIND[kind][view], latents.T, strict=True):
        quantities[latent.name] = latent.mean + latent.sd * z
    if LESION_CONTRAST.name in quantities:
        quantities["lesion_x"], quantities["lesion_y"] = _lesion_centre(place)
    _PAINTERS[view](canvas, quantities, _moves(moves), iter(_TEXTURE_SD * textures.T))


def _lesion_centre(place: Array) -> tuple[Array, Array]:
    """Place lesions along an arc in the liver, mm; ``place`` holds standard normals ``[k, 2]``."""
    # Polar coordinates of two normals are two independent uniform numbers.
    first, second = place.T
    across = np.arctan2(second, first) / np.pi  # −1 … 1
    along = 1 - np.exp(-0.5 * (first**2 + second**2))  # 0 … 1
    angle, radius = 0.5 * np.pi * along, 1 + _LESION_ARC_SPREAD * across
    (x, y), (a, b) = _LESION_ARC_CENTRE, _LESION_ARC
    return x - a * radius * np.cos(angle), y - b * radius * np.sin(angle)


def _moves(moves: Array) -> Iterator[tuple[Array, Array]]:
    columns = _MOVE_SD * moves.T
    return zip(columns[0::2], columns[1::2], strict=True)


def _paint_axial(
    canvas: Canvas, of: Mapping[str, Values], moves: Iterator[tuple[Array, Array]], textures: Iterator[Array]
) -> None:
    """Paint a slice at the level of the kidneys' upper halves, seen from the feet, front side up."""
    muscle, bone, vessels = of["muscle_attenuation"], of["vertebra_density"], of["vessel_enhancement"]
    cavity_width = of["body_width"] - 13

    dx, dy = next(moves)
    canvas.ellipse((100 + dx, -2 + dy), (25, 46), of["spleen_attenuation"], tilt=14)
    dx, dy = next(moves)
    canvas.ellipse((45 + dx, -42 + dy), (45, 27), of["stomach_attenuation"], tilt=20)
    canvas.ellipse((38 + dx, -60 + dy), (22, 8 + 0.05 * next(textures)), BLACK, tilt=10)

    # The liver grows towards the midline and the back: its other borders lie against the body wall.
    dx, dy = next(moves)
    size = of["liver_size"]
    canvas.ellipse(
        (-124 + size + dx, -4 + (size - 62) * 0.5 + dy), (size, size + 10), of["liver_attenuation"]
    )
    canvas.ellipse((-28 + (size - 62) * 0.6 + dx, -52 + dy), (48, 25), of["liver_attenuation"], tilt=-12)
    if LESION_CONTRAST.name in of:
        canvas.ellipse(
            (of["lesion_x"] + dx, of["lesion_y"] + dy),
            (_LESION_RADIUS, _LESION_RADIUS),
            of["liver_attenuation"] + of[LESION_CONTRAST.name],
        )
    canvas.ellipse((-38 + dx, -30 + dy), (7, 10), 15 + next(textures), tilt=-30)

    # Pancreas and bowel loops in front of the great vessels.
    loops = ((24, -8), (26, 9), 90), ((58, 8), (15, 13), 40), ((62, -12), (12, 9), 50), ((2, 2), (12, 8), 60)
    for centre, axes, hu in loops:
        canvas.ellipse(centre, axes, hu + next(textures), tilt=-15)
    canvas.ellipse((58, 3), (7, 4), BLACK)

    for side in (-1, 1):
        dx, dy = next(moves)
        canvas.ellipse((side * 65 + dx, 44 + dy), (24, 31), of["kidney_enhancement"], tilt=side * -25)
        canvas.ellipse((side * 54 + dx, 41 + dy), (10, 8), _SINUS, tilt=side * -25)

    # What lies outside the abdominal cavity covers the organs' outer borders.
    canvas.ellipse((0, -6), (cavity_width, 90), muscle, outside=True)
    # Ribs run obliquely through the wall.
    for angle in (-14, 12, 36, 58):
        x, y = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        tilt = np.rad2deg(np.arctan2(97 * x, -125 * y))
        for side in (-1, 1):
            canvas.ellipse(
                (side * (of["body_width"] - 6.5) * x, -3 + 96 * y), (10, 3.5), _RIB, tilt=side * tilt
            )
    for side in (-1, 1):
        canvas.ellipse((side * 33, 46), (12, 16), muscle)
        canvas.ellipse((side * 36, 80), (29, 17), muscle, tilt=side * -8)
    canvas.ellipse((0, 68), (8, 26), bone)
    for side in (-1, 1):
        canvas.ellipse((side * 26, 66), (17, 5), bone, tilt=side * 18)
    canvas.ellipse((0, 42), (27, 21), _CORTEX)
    canvas.ellipse((0, 42), (24.5, 18.5), bone)
    canvas.ellipse((0, 67), (9, 8), 30)

    dx, dy = next(moves)
    canvas.ellipse((12 + dx, 9 + dy), (14, 14), vessels)
    dx, dy = next(moves)
    canvas.ellipse((-23 + dx, 11 + dy), (16, 12), vessels)
    canvas.ellipse((-12 + dx, -15 + dy), (14, 9), vessels, tilt=-20)

    canvas.ellipse((0, 0), (of["body_width"], 103), _FAT, outside=True)
    skin = of["fat_thickness"]
    canvas.ellipse((0, 3), (of["body_width"] + skin - 2, 101 + skin), _SKIN, outside=True)
    canvas.ellipse((0, 3), (of["body_width"] + skin, 103 + skin), BLACK, outside=True)


def _paint_coronal(
    canvas: Canvas, of: Mapping[str, Values], moves: Iterator[tuple[Array, Array]], textures: Iterator[Array]
) -> None:
    """Paint a slice through the kidneys, from the lung bases to the pelvis, seen from the front."""
    muscle, bone, top = of["muscle_attenuation"], of["pelvis_density"], of["diaphragm_height"]

    # The lungs first: the domes of the diaphragm bulge into them.
    canvas.ellipse((0, -230), (150, 130), BLACK)
    dx, dy = next(moves)
    canvas.ellipse((14 + dx, -185 + dy), (42, 48), 130)
    canvas.ellipse((70, 0.5 * (-top + 20)), (60, 0.5 * (top - 10)), VISCERAL_FAT)

    dx, dy = next(moves)
    canvas.ellipse((96 + dx, -76 + dy), (25, 45), of["spleen_attenuation"], tilt=-8)
    dx, dy = next(moves)
    canvas.ellipse((50 + dx, -88 + dy), (26, 30), 30 + next(textures))
    canvas.ellipse((50 + dx, -100 + dy), (15, 10), BLACK)
    dx, dy = next(moves)
    bottom = -12.0
    canvas.ellipse(
        (-66 + dx, 0.5 * (bottom - top) + dy), (66, 0.5 * (top - bottom + 20)), of["liver_attenuation"]
    )
    canvas.ellipse((-4 + dx, -104 + dy), (48, 24), of["liver_attenuation"], tilt=-10)

    # Colon on both flanks, then small bowel.
    for centre, axes in (((-98, 52), (16, 42)), ((100, 48), (14, 48))):
        canvas.ellipse(centre, axes, 20 + next(textures))
    canvas.ellipse((-98, 36), (8, 12), BLACK)
    canvas.ellipse((101, 24), (6, 14), BLACK)
    for centre in ((-62, 68), (-58, 102), (64, 64), (60, 98), (-18, 128), (24, 128)):
        canvas.ellipse(centre, (22, 17), of["bowel_attenuation"] + 0.5 * next(textures))

    for side in (-1, 1):
        dx, dy = next(moves)
        canvas.ellipse(
            (side * 62 + dx, 2 - side * 6 + dy), (22, 40), of["kidney_enhancement"], tilt=side * -12
        )
        canvas.ellipse((side * 52 + dx, 2 - side * 6 + dy), (7, 14), _SINUS, tilt=side * -12)
        canvas.ellipse((side * 32, 58), (14, 58), muscle, tilt=side * -10)

    profile = np.clip((118 - canvas.y) / 10, -1, 1)
    discs = 0.5 + 0.5 * np.cos(2 * np.pi * (canvas.y - 14) / 34)
    discs = np.clip((discs - 0.88) * 12, 0, 1)[:, None]
    canvas.column(20, profile, of["spine_density"] * (1 - discs) + _DISC * discs)

    waist = 1 + 0.05 * np.cos(np.pi * (canvas.y - 30) / 150 + np.pi)
    canvas.column(118, waist, muscle, outside=True)
    for y in (-180, -146, -112, -78, -44):
        for side in (-1, 1):
            canvas.ellipse((side * 124, y + 6), (4, 8), _RIB, tilt=side * 20)
    for side in (-1, 1):
        canvas.ellipse((side * 118, 170), (26, 50), muscle, tilt=side * -10)
        canvas.ellipse((side * 84, 128), (13, 50), bone, tilt=side * -28)
        canvas.ellipse((side * 88, 192), (23, 23), bone)
    canvas.ellipse((0, 112), (36, 28), bone)
    dx, dy = next(moves)
    canvas.ellipse((dx, 170 + dy), (40, 26), of["bladder_attenuation"])

    canvas.column(132, waist, _FAT, outside=True)
    skin = of["fat_thickness"]
    canvas.column(130 + skin, waist, _SKIN, outside=True)
    canvas.column(132 + skin, waist, BLACK, outside=True)


_PAINTERS: Mapping[
    str, Callable[[Canvas, Mapping[str, Values], Iterator[tuple[Array, Array]], Iterator[Array]], None]
] = MappingProxyType({"axial": _paint_axial, "coronal": _paint_coronal})
