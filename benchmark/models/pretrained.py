"""Weights that lie in the package: a network to explain that nobody trains, equal to the bit everywhere.

Training amplifies rounding, so that two makes of processor end with two networks. A network that is read from
a file is the same on both, and so is what a method says of it, up to the rounding of one evaluation. The
files are safetensors, never pickles; ``results/reference/weights.py`` makes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn

from synthetic.names import check_known

FOLDER = Path(__file__).with_name("weights")
ABOUT = ("model", "scenario", "images", "features", "image_size", "n_patients", "data_seed", "train_seed")
"""What a file of weights says of its making, as text: the network, and the stage that it was trained on."""

_PLACE = ("scenario", "images", "features", "image_size")


@dataclass(frozen=True)
class Weights:
    """A file of weights, before it is read.

    Attributes:
        name: of the set.
        path: of the file.
        about: each of ``ABOUT`` → text.
    """

    name: str
    path: Path
    about: Mapping[str, str]

    @property
    def place(self) -> str:
        """The data that the network was trained on, in words."""
        return f"{self.about['scenario']} on {self.about['images']}, {self.about['image_size']} pixels"

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def is_for(self, facts: Mapping[str, object]) -> bool:
        """Return whether the network was trained on such a scenario; on any other it says nothing.

        Args:
            facts: of a stage, by name.
        """
        own = {name: str(facts[name]) for name in _PLACE} == {name: self.about[name] for name in _PLACE}
        return own and not facts.get("definition")

    def put_into(self, network: nn.Module) -> None:
        """Set a network's weights.

        Raises:
            ValueError: if it is another network: other layers, or inputs of other shapes.
        """
        found: dict[str, Tensor] = safetensors.torch.load_file(self.path)
        try:
            network.load_state_dict(found)
        except RuntimeError as error:
            raise ValueError(
                f"The weights {self.name!r} must be those of {self.about['model']} on data like "
                f"{self.place}. {str(error).partition(':')[2].strip().splitlines()[0].strip()} Where the "
                "network was changed on purpose, make them again: results/reference/weights.py."
            ) from None


def names() -> tuple[str, ...]:
    """Return the names of all sets of weights."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.safetensors")))


@cache
def find(name: str, model: str) -> Weights:
    """Return a set of weights by name.

    Args:
        name: of the set.
        model: name of the network that is to have them, without options.

    Raises:
        ValueError: if there is no such set, or it is of another network.
    """
    check_known("set of weights", name, names())
    path = FOLDER / f"{name}.safetensors"
    with safetensors.safe_open(path, framework="pt") as file:
        about = file.metadata() or {}
    if about.get("model") != model:
        raise ValueError(
            f"The weights {name!r} must go to the network that they were trained as, "
            f"{about.get('model')!r}. Got {model!r}."
        )
    return Weights(name, path, about)
