"""Train the network that the accuracy gate explains, and write its weights into the package.

The command, which writes ``benchmark/models/weights/graded.safetensors``::

    .venv/bin/python results/reference/weights.py

The file that lies there was made so, once, and is not made again: another make of processor ends with another
network. It is trained on patients of a seed that no suite draws, and explained on those of seeds 0, 1, 2, ….
Make it again, and the baseline after it, where the network or the scenario was changed on purpose.
"""

from __future__ import annotations

import safetensors.torch

import synthetic
from benchmark.models import pretrained
from benchmark.training import fidelity, fit

SCENARIO, MODEL, SEED = "graded", "hybrid", 1000


def main() -> None:
    """Train, write, and print what was learnt."""
    scenario = synthetic.scenario(SCENARIO)
    dataset = synthetic.generate(scenario, seed=SEED)
    network = fit(MODEL, dataset.train, seed=SEED)
    values = (
        *(MODEL, scenario.name, scenario.source, scenario.features, scenario.image_size, scenario.n),
        *(SEED, SEED),
    )
    about = dict(zip(pretrained.ABOUT, map(str, values), strict=True))
    path = pretrained.FOLDER / f"{SCENARIO}.safetensors"
    path.parent.mkdir(exist_ok=True)
    kept = {name: value.contiguous() for name, value in network.state_dict().items()}
    path.write_bytes(safetensors.torch.save(kept, metadata=about))
    found = fidelity(network, dataset.test, scenario.decision(dataset.latents["test"].double()))
    print(f"{path}: {path.stat().st_size:,} bytes, test accuracy {found.accuracy:.4f}, R² {found.r2:.4f}")


if __name__ == "__main__":
    main()
