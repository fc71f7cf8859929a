"""Every setting of `conf/`: what it means, what it may be, and whether it may be null. Nothing here loads torch.

A setting that is missing here is passed on as it is, and its module checks it: one's own bottleneck may have any.
"""

from fnmatch import fnmatchcase

from softvq.config.kinds import (
    Kind,
    anything,
    devices,
    flag,
    folder,
    label,
    listed,
    mapping,
    never,
    number,
    target,
    text,
    whole,
    word,
)

LARGEST_SEED = 2**32 - 1  # of NumPy and scikit-learn
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true")
SHORT_PRECISIONS = ("32", "64", "16", "bf16")  # which Lightning also takes

# Keys with a * stand for every key that fits and is not named by itself.
SCHEMA: dict[str, Kind] = {
    # --- the whole run
    "seed": whole(0, LARGEST_SEED).means("of the initial weights, the order of the images and the noise"),
    "trained": flag().means("false: a floor that needs no training, whatever trainer.max_steps says"),
    "penalty_weight": number(0).means("one factor for all of the bottleneck's own weights"),
    "figures": anything().null("PNG alone").means("formats of figures beside PNG: pdf, svg or [pdf,svg]"),
    "resume": word("auto", "never").means("auto goes on from the last checkpoint; never starts over"),
    "experiment_name": label().means("groups the run folders and the tracker's runs"),
    "fidelity": word("paper", "released").means("the paper's text, or its released notebooks"),
    # --- bottleneck
    "bottleneck._target_": target().means("class of the bottleneck"),
    "bottleneck.d": whole(1).means("width of a code; follows network.d"),
    "bottleneck.K": whole(2).means("codewords of the codebook"),
    "bottleneck.*_weight": number(0).means("factor of one term of the loss"),
    "bottleneck.sigma_eps": number(0).means("standard deviation of the noise on z_e in training"),
    "bottleneck.max_alpha": number(0).means("largest standard deviation of the multiplicative noise"),
    "bottleneck.reduction": word("sum", "mean").means("squares are summed over a code, or averaged"),
    "bottleneck.codebook_init": mapping().means("how the codebook starts"),
    "bottleneck.codebook_init._target_": target().means("function that draws the first codebook"),
    "bottleneck.codebook_init._partial_": flag().means("true: it is called with the codebook's size later"),
    "bottleneck.decay": number(0, below=1).means("part of a moving average that a step keeps"),
    "bottleneck.smoothing": number(0).means("added to the use of every codeword before it is divided by"),
    "bottleneck.codes_per_codeword": whole(1).means("codes that K-means starts from, for each codeword"),
    "bottleneck.dead_below": number(0).means("a codeword of less use than this part of the mean is dead"),
    # Of one method each, whose class says what they may be: one's own bottleneck may mean something else by the name.
    "bottleneck.samples": anything().means("draws for each code, over which a step averages"),
    "bottleneck.tau_start": anything().means("temperature at the first step"),
    "bottleneck.tau_end": anything().means("the lowest temperature"),
    "bottleneck.tau_decay": anything().means("rate at which the temperature falls, a step"),
    "bottleneck.C_max": anything().means("nats that the capacity grows to"),
    "bottleneck.anneal_steps": anything().means("steps over which a quantity is annealed"),
    "bottleneck.delta": anything().means("nats below which the KL cannot fall"),
    "bottleneck.H": anything().means("norm of a row of the encoder's weights"),
    "bottleneck.mask_rate": anything().means("share of the pixels that the encoder does not see"),
    "bottleneck.noise_std": anything().means("standard deviation of the noise on the pixels that the encoder sees"),
    "bottleneck.flip": anything().means("probability that the channel flips a bit"),
    "bottleneck.k": anything().means("units that stay active"),
    "bottleneck.dead_after": anything().means("steps without activity after which a unit counts as dead"),
    "bottleneck.revived": anything().means("dead units that help to reconstruct what is left over"),
    "bottleneck.threshold_decay": anything().means("part of the threshold's moving average that a step keeps"),
    "bottleneck.reconstruction_share": anything().means("the image's share in what the critic is to call unmixed"),
    "bottleneck.critic_lr": anything().means("learning rate of the critic"),
    "bottleneck.patch": anything().means("width of the parts of a code that are quantized one by one"),
    "bottleneck.sigma_start": anything().means("first factor of the squared distances; a large one is hard"),
    "bottleneck.gain": anything().means("how fast that factor follows the gap between soft and hard reconstruction"),
    "bottleneck.use_decay": anything().means("part of the codewords' average use that a step keeps"),
    "bottleneck.rows": anything().means("of the grid of codewords"),
    "bottleneck.columns": anything().means("of the grid of codewords"),
    "bottleneck.step_size": anything().means("distance of two values of a quantized coordinate"),
    "bottleneck.components": anything().means("logistic distributions in the model of a coordinate"),
    "bottleneck.quantizer": anything().means("class of vector-quantize-pytorch"),
    "bottleneck.options": anything().means("arguments of that class, in its own names"),
    "bottleneck.options.*": anything().means("one of them"),
    # --- network
    "network.d": whole(1).means("width of the latent code"),
    "network.encoder._target_": target().means("class of the encoder"),
    "network.decoder._target_": target().means("class of the decoder"),
    "network.*.d": whole(1).means("width of the latent code; follows network.d"),
    "network.*.hidden": listed(whole(1)).means("widths of the hidden layers"),
    "network.*.channels": listed(whole(1)).means("channels of the convolutions"),
    "network.padding": word("symmetric", "same").means("same: TensorFlow's, which pads an even size at its end alone"),
    "network.*.padding": word("symmetric", "same").means("follows network.padding"),
    "network.joint_init": mapping().means("start of the convolutions next to the code"),
    "network.joint_init._target_": target().means("function that fills their weights"),
    "network.joint_init._partial_": flag().means("true: it is called with the weights later"),
    "network.joint_init.std": number(0).means("standard deviation of their first weights"),
    "network.*.output_activation": word("sigmoid", "linear").means("follows data.output_activation"),
    # --- data
    "data.name": label().means("label of the results"),
    "data.root": folder().means("folder of downloads and prepared arrays"),
    "data.dir": folder().means("folder of one's own arrays or pictures"),
    "data.verify": flag().means("false: accept a copy whose checksum is not the published one"),
    "data.batch_size": whole(1).means("images of a training step, over all devices"),
    "data.eval_batch_size": whole(1).means("images at a time where nothing is trained; changes no result"),
    "data.val_fraction": number(0, below=1).means("part of the training images that is set aside for choices"),
    "data.image_shape": listed(whole(1)).means("height, width and channels of an image, which weights follow"),
    "data.test_fraction": number(0, below=1)
    .null("the data have a test set")
    .means("part of images without a test set that becomes it"),
    "data.split_seed": whole(0, LARGEST_SEED).means("which images that part are"),
    "data.image_size": whole(1).null("the pictures have one size").means("resize pictures to so many pixels a side"),
    "data.pixel_offset": number(-1, 1).null("follows the network").means("added to pixels that were scaled to [0, 1]"),
    "data.output_activation": word("sigmoid", "linear")
    .null("follows the network")
    .means("last operation of the decoder"),
    "data.module._target_": target().means("class that hands out batches"),
    "data.source._target_": target().means("class that reads the files"),
    "data.source.dataset": text().means("class of torchvision.datasets"),
    # --- reconstruction and optimiser
    "reconstruction._target_": target().means("class of the reconstruction loss"),
    "reconstruction.weight": number(0).means("its factor"),
    "optimizer._target_": target().means("class of the optimiser"),
    "optimizer._partial_": flag().means("true: the parameters come later"),
    "optimizer.lr": number(0).means("learning rate"),
    "optimizer.eps": number(0).means("added to the root of the squares' mean, by which steps are divided"),
    "optimizer.fused": flag().means("update all parameters in one pass"),
    # --- trainer
    "trainer.max_steps": whole(0, 10**9).means("optimiser steps"),
    "trainer.accelerator": word("auto", "cpu", "gpu", "cuda", "mps").means("what trains"),
    "trainer.devices": devices().means("how many of them, or which"),
    "trainer.seeds_per_process": whole(1).means("with -m: so many seeds of a model are trained at once"),
    "trainer.precision": word(*PRECISIONS, also=SHORT_PRECISIONS).means("of weights and arithmetic"),
    "trainer.matmul_precision": word("highest", "high", "medium").means("of float32 products; high: TF32 on a GPU"),
    "trainer.cuda_graph": flag(auto=True).means("replay captured steps on a GPU; false: run each from Python"),
    "trainer.threads": whole(1, 4096).null("as many as there are cores").means("threads of torch and the probes"),
    "trainer.log_every_n_steps": whole(1).means("steps between two rows of the training curve"),
    "trainer.val_every_n_steps": whole(1).means("steps between two validations, with data.val_fraction"),
    "trainer.checkpoint_after_s": number(0).means("seconds of training before the first checkpoint"),
    "trainer.checkpoint_every_s": number(0).means("seconds between two checkpoints"),
    "trainer.checkpoint_time_fraction": number(0).means("or this part of the time trained so far, where it is longer"),
    "trainer.progress": flag(auto=True).means("false: none; auto: a bar on a terminal, lines elsewhere"),
    "trainer.callbacks": mapping().means("further Lightning callbacks by name"),
    "trainer.callbacks.*": mapping().means("one of them"),
    "trainer.callbacks.*._target_": target().means("its class"),
    # --- probes
    "probes.name": label().means("of the protocol; every number carries it"),
    "probes.seed": whole(0, LARGEST_SEED).means("of the probes, the same for every training seed"),
    "probes.tap": text().means("the latent that the probes read"),
    "probes.part": word("test", "validation").means("the images that are clustered and scored"),
    "probes.tsne_points": whole(0).means("points of the t-SNE figure"),
    "probes.save_latents": flag().means("write the codes to latents.npz"),
    "probes.train_limit": whole(1).null("all").means("training codes that the classifier sees"),
    "probes.test_limit": whole(1).null("all").means("test codes that are clustered and scored"),
    "probes.clustering._target_": target().means("class of the clustering probe"),
    "probes.clustering.n_init": whole(1).means("starts of K-means, of which the best is kept"),
    "probes.classification._target_": target().means("class of the classification probe"),
    "probes.classification.lr": number(0).means("learning rate of the classifier"),
    "probes.classification.beta_*": number(0, below=1).means("decay of one of Adam's averages"),
    "probes.classification.eps": number(0).means("Adam's epsilon"),
    "probes.classification.batch_size": whole(1).means("codes of a step"),
    "probes.classification.steps": whole(0).means("steps of the classifier"),
    "probes.classification.C": number(0).means("inverse strength of its penalty"),
    "probes.*.max_iter": whole(1).means("iterations at most"),
    "probes.*.tol": number(0).means("when the iterations end"),
    "probes.*.seed": whole(0, LARGEST_SEED).means("follows probes.seed"),
    # --- tracker
    "logger": mapping().means("where the training curve goes beside metrics.csv"),
    "logger.trackers": mapping().means("further trackers by name: logger=[wandb,tensorboard] has two"),
    "logger.trackers.*": mapping().means("one of them"),
    "logger.trackers.*._target_": target().means("class of a tracker"),
    "logger.project": text().means("of W&B"),
    "logger.entity": text().null("the login's own").means("a user or team of W&B"),
    "logger.tags": listed(text(), empty=True).means("of the run in W&B"),
    # --- evaluate.py
    "run": folder().means("the folder of a finished run"),
    "trust": listed(target(), empty=True).means("classes of one's own that the run's configuration may name"),
    "out": folder().null("the run's").means("the folder of the evaluation"),
    # --- where runs lie, and sweeps
    "hydra.run.dir": folder().means("the folder of a single run"),
    "hydra.sweep.dir": folder().means("the folder of a sweep's cells"),
    "hydra.sweep.subdir": folder().means("a cell's folder below it"),
    "hydra.sweeper.max_batch_size": whole(1).null("all").means("cells that are handed to the launcher at a time"),
    "hydra.sweeper.plan_only": flag().means("show the plan and start nothing"),
    "hydra.sweeper.trials": whole(1).means("of a search, in all; those of earlier sessions count"),
    "hydra.sweeper.metric": text().means("the number of metrics.json by which a search chooses, as GROUP.NAME"),
    "hydra.sweeper.direction": word("maximize", "minimize").means("whether a search wants much or little of it"),
    "hydra.sweeper.seed": whole(0, LARGEST_SEED).means("of a search"),
    "hydra.sweeper.at_once": whole(1).null("as many as the launcher runs").means("trials of a search at a time"),
    "hydra.launcher.n_jobs": anything().means("cells at a time; -1: as many as there are cores"),
}
# Hydra's own words beside a `_target_`, wherever one is.
HYDRAS = {
    "_partial_": flag(),
    "_recursive_": flag(),
    "_convert_": word("none", "partial", "object", "all"),
    "_args_": listed(anything(), empty=True),
}
# What is built at once; what is called later has a `_partial_` of its own above.
AT_ONCE = tuple(
    f"{part}._partial_"
    for part in (key.removesuffix("._target_") for key in SCHEMA if key.endswith("._target_"))
    if f"{part}._partial_" not in SCHEMA
)
# What a run cannot do without, even where `~KEY` or `GROUP=null` takes it away.
NEEDED = (
    *(key for key in SCHEMA if "." not in key and key not in ("run", "trust", "out", "figures")),
    *(f"{part}._target_" for part in ("bottleneck", "network.encoder", "network.decoder", "reconstruction")),
    *(f"{part}._target_" for part in ("data.module", "data.source", "optimizer")),
    *("network.d", "optimizer._partial_"),
    *(f"data.{key}" for key in ("name", "root", "image_shape", "batch_size", "eval_batch_size", "val_fraction")),
    *("data.pixel_offset", "data.output_activation"),
    *(key for key in SCHEMA if key.startswith("trainer.") and "*" not in key),
    *(key for key in SCHEMA if key.startswith("probes.") and key.count(".") == 1),
)

# The same of an evaluation, which takes the rest from its run.
NEEDED_TO_EVALUATE = (
    *("run", "trust", "out", "trainer.accelerator", "trainer.threads", "trainer.progress"),
    *(key for key in NEEDED if key.startswith("probes.")),
)


def kind_of(key: str) -> Kind | None:
    """What a setting may be; None where that is left to its module."""
    if key in SCHEMA:
        return SCHEMA[key]
    last = key.rpartition(".")[2]
    if last in HYDRAS:
        return never() if any(fits(key, pattern) for pattern in AT_ONCE) else HYDRAS[last]
    return next((kind for pattern, kind in SCHEMA.items() if "*" in pattern and fits(key, pattern)), None)


def fits(key: str, pattern: str) -> bool:
    """Whether a key fits a pattern whose * stands for one part of a key, or a piece of it."""
    parts, patterns = key.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))
