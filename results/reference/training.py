"""How fast networks are trained: the project's loop beside the plain one of a tutorial, on one thread.

Run it from the project's root (about ten minutes)::

    .venv/bin/python results/reference/training.py

Both sides train the same architecture by the same losses, schedule, epochs and batches on the same patients.
The plain one takes its batches from a ``DataLoader`` over a ``TensorDataset``, keeps tensors contiguous and
steps an AdamW that is neither fused nor batched over parameters.

It prints the ratio of the processor times, each the shortest of three rounds in turn: other work on the
machine adds to the time on the wall, and hardly to the time on the processor.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import synthetic
from benchmark import models, training
from benchmark.models import FusionNetwork, TrainingPlan
from synthetic.seeding import derive_seed, torch_rng
from synthetic.settings import own_settings
from synthetic.types import Samples

CASE, N_PATIENTS, N_SHORT = "paper-F6", 16_000, 1_600
N_ROUNDS = 3


@dataclass(frozen=True)
class Speed:
    """The shortest times of one fit.

    Attributes:
        wall: seconds on the clock.
        processor: seconds on the processor.
    """

    wall: float = inf
    processor: float = inf

    def or_faster(self, work: Callable[[], object]) -> Speed:
        """Return the shorter times of these and of another round of the work."""
        wall, processor = time.perf_counter(), time.process_time()
        work()
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        return Speed(min(self.wall, wall), min(self.processor, processor))


def plain_fit(name: str, train: Samples, *, seed: int, plan: TrainingPlan | None = None) -> FusionNetwork:
    """Train a network as a tutorial does, and return it in evaluation mode.

    Args:
        name: network, as ``benchmark.models.get`` takes it.
        train: with labels.
        seed: as in ``benchmark.training.fit``; the same patients are held out.
        plan: None for the network's own.
    """
    if train.labels is None:
        raise ValueError("The 'train' samples must carry labels. Got none.")
    plan = plan or models.plan(name)
    with own_settings(threads=1):
        torch.manual_seed(derive_seed("training", name, seed))
        model = models.get(name)
        shapes, n_classes = training.input_shapes(train), int(train.labels.max()) + 1
        network = model.network(shapes, n_classes=n_classes, **model.options)
        generator = torch_rng("training", name, "batches", seed)
        order = torch.randperm(len(train), generator=generator)
        n_held_out = max(1, round(plan.validation_share * len(train)))
        for stage in network.training_stages():
            _plain_stage(
                stage.to(memory_format=torch.contiguous_format),
                tuple(shapes),
                _loader(train.take(order[n_held_out:]), plan, generator, shuffle=True),
                _loader(train.take(order[:n_held_out]), plan, generator, shuffle=False),
                plan,
                generator,
            )
    return network.eval().requires_grad_(requires_grad=False)


def _loader(samples: Samples, plan: TrainingPlan, generator: torch.Generator, *, shuffle: bool) -> DataLoader:
    data = TensorDataset(*samples.inputs.values(), samples.labels)
    return DataLoader(data, plan.batch_size, shuffle=shuffle, generator=generator)


def _plain_stage(
    network: FusionNetwork,
    names: tuple[str, ...],
    train: DataLoader,
    held_out: DataLoader,
    plan: TrainingPlan,
    generator: torch.Generator,
) -> None:
    """Train in place and leave the weights of the best epoch."""
    n_epochs = plan.n_epochs(len(train))
    optimiser = training.optimiser_of(network, plan, fused=False)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, plan.learning_rate, total_steps=n_epochs * len(train), pct_start=0.2
    )
    best_loss, best_weights = inf, network.state_dict()
    for _ in range(n_epochs):
        network.train()
        for batch in train:
            loss = network.training_loss(*_inputs(names, batch), generator)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        network.eval()
        with torch.no_grad():
            losses = [network.validation_loss(*_inputs(names, batch)) for batch in held_out]
        held_out_loss = float(torch.stack(losses).mean())
        if held_out_loss < best_loss:
            best_loss, best_weights = held_out_loss, copy.deepcopy(network.state_dict())
    network.load_state_dict(best_weights)


def _inputs(names: tuple[str, ...], batch: list[Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """Return the inputs as numbers, images between 0 and 1, and the labels."""
    values = [value.float() / 255 if value.dtype == torch.uint8 else value for value in batch[:-1]]
    return dict(zip(names, values, strict=True)), batch[-1]


def n_parameters(network: nn.Module) -> int:
    """Return the number of learnt values."""
    return sum(value.numel() for value in network.parameters())


def main() -> None:
    """Print a Markdown table, a network a row."""
    everyone = synthetic.generate(synthetic.scenario(CASE), seed=0, n=N_PATIENTS).train
    few = everyone.take(slice(0, N_SHORT))
    print("| model | parameters | samples/s, project | samples/s, plain | ratio | full training, s |")
    print("|---|---:|---:|---:|---:|---:|", flush=True)
    for name in models.names()[1:]:
        plan = replace(models.plan(name), max_epochs=2, min_steps=1)
        n_passes = 2 * round((1 - plan.validation_share) * N_SHORT)
        ours, plain = Speed(), Speed()
        for _ in range(N_ROUNDS):
            ours = ours.or_faster(lambda: training.fit(name, few, seed=0, plan=plan))  # noqa: B023 - at once
            plain = plain.or_faster(lambda: plain_fit(name, few, seed=0, plan=plan))  # noqa: B023
        kept: list[FusionNetwork] = []
        whole = Speed().or_faster(lambda: kept.append(training.fit(name, everyone, seed=0)))  # noqa: B023
        rates = [n_passes / speed.processor for speed in (ours, plain)]
        print(
            f"| {name} | {n_parameters(kept[0]):,} | {rates[0]:,.0f} | {rates[1]:,.0f} | "
            f"{rates[0] / rates[1]:.2f} | {whole.processor:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
