"""The optimizers and schedules that zoo_optim provides, besides the usual ones of zoo itself."""

from zoo import OptimizerSpec, ScheduleSpec, hookimpl

# torch.optim's optimizers by class: a summary, the source, and training options that suit them. Two are
# missing: LBFGS computes the loss several times in a step, and SparseAdam needs sparse gradients.
TORCH = {
    "Adadelta": ("Adadelta: step sizes from past steps", "Zeiler 2012, arXiv 1212.5701", {"lr": 1.0}),
    "Adafactor": (
        "Adafactor: Adam with factored second moments",
        "Shazeer & Stern 2018, arXiv 1804.04235",
        {"lr": 1e-2},
    ),
    "Adagrad": ("Adagrad: step sizes from all past gradients", "Duchi et al. 2011, JMLR 12", {"lr": 1e-2}),
    "Adamax": ("Adamax: Adam with the infinity norm", "Kingma & Ba 2015, arXiv 1412.6980", {"lr": 2e-3}),
    "ASGD": ("Averaged SGD", "Polyak & Juditsky 1992", {"lr": 1e-2}),
    "NAdam": ("NAdam: Adam with Nesterov momentum", "Dozat 2016, ICLR workshop", {"lr": 2e-3}),
    "RAdam": ("RAdam: Adam with a built-in warmup", "Liu et al. 2020, arXiv 1908.03265", {"lr": 1e-3}),
    "RMSprop": (
        "RMSprop: gradients divided by their root mean square",
        "Hinton, Neural Networks for Machine Learning, lecture 6",
        {"lr": 1e-3, "momentum": 0.0},
    ),
    "Rprop": ("Rprop: for training on the whole data in each step", "Riedmiller & Braun 1993", {"lr": 1e-3}),
}

# Optimizers that do not use the learning rate of each step
READS_THE_RATE = {
    "ASGD": {"follows_its_rate": "torch's ASGD uses the learning rate of the previous step"},
    "Rprop": {"follows_its_rate": "Rprop reads the learning rate only once, as its first step size"},
}


@hookimpl
def zoo_optimizers() -> list[OptimizerSpec]:
    """Return the optimizers."""
    return [
        OptimizerSpec(
            name="lion",
            target="zoo_optim.lion:Lion",
            summary="Lion: steps by the sign of a momentum; half of Adam's state",
            training={"lr": 3e-4, "momentum": 0.9},
            source="Chen et al. 2023, arXiv 2302.06675",
        ),
        OptimizerSpec(
            name="muon",
            target="zoo_optim.muon:muon",
            summary="Muon for hidden matrices, AdamW for everything else",
            training={"lr": 1e-3, "momentum": 0.95, "weight_decay": 0.1},
            source="Jordan et al. 2024, https://kellerjordan.github.io/posts/muon",
        ),
        *(
            OptimizerSpec(
                name=name.lower(),
                target=f"torch.optim:{name}",
                summary=summary,
                training=training,
                source=source,
                expected_failures=READS_THE_RATE.get(name, {}),
            )
            for name, (summary, source, training) in TORCH.items()
        ),
    ]


@hookimpl
def zoo_schedules() -> list[ScheduleSpec]:
    """Return the schedules."""
    return [
        ScheduleSpec(
            name="cosine-restarts",
            target="zoo_optim.cosine_restarts:cosine_restarts",
            summary="Half-cosine decay to 0 in each cycle (SGDR)",
            source="Loshchilov & Hutter 2017, arXiv 1608.03983",
        ),
        ScheduleSpec(
            name="plateau",
            target="zoo_optim.plateau:plateau",
            summary="A lower rate whenever a metric stops improving",
        ),
        ScheduleSpec(
            name="warmup-stable-decay",
            target="zoo_optim.warmup_stable_decay:warmup_stable_decay",
            summary="Linear warmup, constant rate, and decay to 0",
            source="Hu et al. 2024, arXiv 2404.06395",
        ),
    ]
