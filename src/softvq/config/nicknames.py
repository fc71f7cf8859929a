"""Words by which people call settings elsewhere, and how they are written here."""

NICKNAMES = {
    # word, in small letters and without _ and -: what to write
    **dict.fromkeys(("lr", "learningrate", "stepsize"), "optimizer.lr=VALUE"),
    **dict.fromkeys(("weightdecay", "wd"), "+optimizer.weight_decay=VALUE"),
    **dict.fromkeys(("optim", "opt"), "optimizer._target_=torch.optim.NAME"),
    **dict.fromkeys(
        ("k", "codebooksize", "numembeddings", "nembeddings", "ncodes", "numcodes", "codewords", "dictionarysize"),
        "bottleneck.K=VALUE",
    ),
    **dict.fromkeys(
        ("d", "dim", "latentdim", "zdim", "codedim", "embeddingdim", "latentsize", "latentwidth", "nz"),
        "network.d=VALUE",
    ),
    "beta": "bottleneck.kl_weight=VALUE of a VAE, bottleneck.commitment_weight=VALUE of a quantizer",
    **dict.fromkeys(("kl", "klweight"), "bottleneck.kl_weight=VALUE"),
    **dict.fromkeys(("commitment", "commitmentcost"), "bottleneck.commitment_weight=VALUE"),
    **dict.fromkeys(("noise", "sigma", "sigmaeps", "noisestd"), "bottleneck.sigma_eps=VALUE"),
    **dict.fromkeys(
        ("epoch", "epochs", "nepochs", "numepochs", "maxepochs"),
        "trainer.max_steps=VALUE: training counts steps, and an epoch has as many as images / data.batch_size",
    ),
    **dict.fromkeys(("steps", "maxsteps", "iterations", "iters", "niter", "numsteps"), "trainer.max_steps=VALUE"),
    **dict.fromkeys(("model", "method", "quantizer", "vq", "algorithm"), "bottleneck=VALUE"),
    **dict.fromkeys(("dataset", "datasets", "ds"), "data=VALUE"),
    **dict.fromkeys(("encoder", "decoder", "arch", "architecture", "net", "backbone"), "network=VALUE"),
    **dict.fromkeys(("batchsize", "bs", "batch"), "data.batch_size=VALUE"),
    **dict.fromkeys(("gpu", "gpus", "cuda", "usecuda"), "trainer.accelerator=gpu trainer.devices=1"),
    **dict.fromkeys(("device", "accelerator"), "trainer.accelerator=cpu, gpu or auto"),
    "devices": "trainer.devices=VALUE",
    **dict.fromkeys(("precision", "amp", "fp16", "bf16", "mixedprecision"), "trainer.precision=bf16-mixed"),
    **dict.fromkeys(("threads", "nthreads", "numthreads", "cpus", "cores"), "trainer.threads=VALUE"),
    **dict.fromkeys(
        ("workers", "numworkers", "nworkers"),
        "trainer.threads=VALUE: images lie in memory, and no workers load them",
    ),
    **dict.fromkeys(("njobs", "jobs", "parallel"), "hydra/launcher=local_joblib hydra.launcher.n_jobs=VALUE with -m"),
    **dict.fromkeys(("launcher",), "hydra/launcher=VALUE with -m"),
    **dict.fromkeys(("seeds", "nseeds", "numseeds", "randomseed", "randomstate"), "seed=0, with -m seed=0,1,2"),
    **dict.fromkeys(("name", "runname", "expname", "experimentname", "exp"), "experiment_name=VALUE"),
    **dict.fromkeys(
        ("out", "output", "outputdir", "outdir", "rundir", "savedir", "folder"),
        "hydra.run.dir=PATH, of a sweep hydra.sweep.dir=PATH",
    ),
    **dict.fromkeys(("logs", "logdir", "logsdir"), "hydra.sweep.dir=PATH, of a single run hydra.run.dir=PATH"),
    **dict.fromkeys(("datadir", "dataroot", "root"), "data.root=PATH, of one's own images data.dir=PATH"),
    **dict.fromkeys(("dir", "path", "images"), "data=image_folder data.dir=PATH"),
    **dict.fromkeys(("wandb", "tensorboard", "tracker", "log"), "logger=wandb or logger=tensorboard"),
    "project": "logger=wandb logger.project=NAME",
    **dict.fromkeys(("tap", "latent", "code"), "probes.tap=VALUE"),
    **dict.fromkeys(("probe", "protocol", "evaluation"), "probes=VALUE"),
    **dict.fromkeys(("val", "valfraction", "validation", "valsplit"), "data.val_fraction=VALUE"),
    **dict.fromkeys(("run", "checkpoint", "ckpt"), "softvq evaluate run=PATH; training goes on by the same command"),
    **dict.fromkeys(("restart", "overwrite", "force"), "resume=never"),
    **dict.fromkeys(("hidden", "width", "hiddensizes", "layers"), "network.encoder.hidden=[500,500,2000]"),
    "channels": "network.encoder.channels=[64,128,256,512]",
    **dict.fromkeys(("dryrun", "dry", "plan"), "softvq plan in place of softvq train -m"),
    **dict.fromkeys(("debug", "smoke", "quick", "fast"), "trainer=smoke probes=fast"),
    "callbacks": "+trainer.callbacks.NAME={_target_:CLASS}",
    **dict.fromkeys(("size", "imagesize", "resize", "resolution"), "data.image_size=VALUE with data=image_folder"),
    **dict.fromkeys(("paper", "released", "mode"), "fidelity=paper or fidelity=released"),
}


def written_here(word: str) -> str | None:
    """How a setting that goes by another word elsewhere is written here; None where nobody calls it so."""
    return NICKNAMES.get(word.lower().replace("_", "").replace("-", ""))
