"""Train a recipe with a plain loop that ends with the same weights as `zoo train`, bit for bit.

    zoo train cifar10-resnet-lite --run runs/mine --threads 1
    python examples/loop.py cifar10-resnet-lite runs/mine

The loop of the library, `zoo/training/loop.py`, takes the same steps. Around them, it saves, resumes and
stops the run, evaluates after each epoch, reports progress, and works on GPUs and in several processes.
"""

import sys

import torch
from torch import nn

import zoo
from zoo.models import precision
from zoo.models.states import detach
from zoo.models.torch_threads import computing_with
from zoo.runs.resolving import resolve
from zoo.runs.setup import build
from zoo.training.optimizers import make_optimizer
from zoo.training.schedules import make_schedule


def train(recipe: str | zoo.Recipe) -> nn.Module:
    """Return the model with its last weights. Trains on the CPU, with one thread, without saving anything."""
    registry = zoo.Registry.discover()
    setup = build(resolve(recipe, None, registry), registry, device="cpu")
    model, task, dataset, config = setup.parts
    if config.grad_accum_steps > 1 or config.ema_decay or config.nonmono:
        raise SystemExit("this loop neither accumulates gradients nor averages weights")

    number_format = precision.resolve(config.precision, "cpu")
    optimizer, learning_rate = make_optimizer(model, config), make_schedule(config)
    model.train()
    for epoch in range(config.epochs):
        state = None  # what a recurrent network remembers of the text so far
        for batch in task.train_batches(dataset, config, seed=setup.recipe.seed, epoch=epoch):
            torch.manual_seed(batch.seed)  # for dropout
            with precision.autocast(number_format, "cpu"):
                step = task.step(model, batch, state, config=config)
            step.loss.backward()
            if config.clip_grad_norm:
                nn.utils.clip_grad_norm_(model.parameters(), config.clip_grad_norm)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(epoch + (batch.index + 0.5) / batch.total) * group["scale"]
            optimizer.step()
            optimizer.zero_grad()
            state = detach(step.state)  # gradients stop at the edge of a batch
    return model


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    name, directory = sys.argv[1:]
    with computing_with(1):
        ours = train(name).state_dict()
    theirs = zoo.Run(directory, device="cpu").last.module.state_dict()
    equal = [torch.equal(ours[key], theirs[key]) for key in theirs]
    print(f"{sum(equal)} of {len(equal)} tensors are equal")
