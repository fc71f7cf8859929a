"""Settings that people get wrong, and what each is answered with: one line that names it and the way out."""

NO_WHOLE_NUMBERS = ("null", "abc", "1.5", "true", "[1]", "''", "nan", "inf", "1e400", "'1'")
NO_NUMBERS = ("null", "abc", "true", "[1]", "''", "nan", "inf", "-inf", "'0.1'")
NO_FLAGS = ("null", "maybe", "1", "0", "'true'", "[true]")
NO_WORDS = ("null", "foo", "5", "[a]", "''")

# key -> smallest value
WHOLE = {
    "seed": 0,
    "data.batch_size": 1,
    "data.eval_batch_size": 1,
    "trainer.max_steps": 0,
    "trainer.log_every_n_steps": 1,
    "trainer.seeds_per_process": 1,
    "probes.seed": 0,
    "bottleneck.K": 2,
    "network.d": 1,
}
NUMBERS = ("penalty_weight", "optimizer.lr", "data.val_fraction", "bottleneck.codebook_weight", "bottleneck.sigma_eps")
FLAGS = ("trained", "data.verify", "optimizer.fused", "probes.save_latents")
WORDS = {
    "resume": "auto, never",
    "trainer.accelerator": "auto, cpu, gpu, cuda, mps",
    "trainer.precision": "32-true, bf16-mixed, 16-mixed",
    "trainer.matmul_precision": "highest, high, medium",
    "bottleneck.reduction": "sum, mean",
    "probes.part": "test, validation",
}

VALUES: list[tuple[str, str]] = [
    *((f"{key}={value}", f"{key} must be a whole number") for key in WHOLE for value in NO_WHOLE_NUMBERS),
    *((f"{key}={least - 1}", f"{key} must be at least {least}, got {least - 1}") for key, least in WHOLE.items()),
    *((f"{key}={value}", f"{key} must be a ") for key in NUMBERS for value in NO_NUMBERS),
    *((f"{key}=-0.5", f"{key} must be at least 0") for key in NUMBERS),
    *((f"{key}={value}", f"{key} must be true or false, got ") for key in FLAGS for value in NO_FLAGS),
    *((f"{key}={value}", f"{key} must be one of {words}") for key, words in WORDS.items() for value in NO_WORDS),
    # near misses say what was meant
    ("trainer.max_steps=1000.0", "trainer.max_steps must be a whole number, got 1000.0; write 1000"),
    ("trainer.max_steps=1e6", "trainer.max_steps must be a whole number, got 1000000.0; write 1000000"),
    ("trainer.accelerator=cuad", "got 'cuad'; did you mean cuda?"),
    ("resume=nevr", "got 'nevr'; did you mean never?"),
    ("seed=4294967296", "seed must be at most 4294967295, got 4294967296"),
    ("seed=99999999999999999999999", "seed must be at most 4294967295"),
    ("trainer.max_steps=10000000000", "trainer.max_steps must be at most 1000000000"),
    ("trainer.threads=0", "trainer.threads must be at least 1, got 0"),
    ("trainer.threads=100000", "trainer.threads must be at most 4096"),
    ("data.val_fraction=1", "data.val_fraction must be at least 0 and below 1, got 1"),
    ("data.pixel_offset=abc", "data.pixel_offset must be a finite number, got 'abc'"),
    ("data.pixel_offset=2", "data.pixel_offset must be at least -1 and at most 1, got 2"),
    ("data.output_activation=relu", "data.output_activation must be one of sigmoid, linear, got 'relu'"),
    # lists
    ("network.encoder.hidden=[-1]", "network.encoder.hidden[0] must be at least 1, got -1"),
    ("network.encoder.hidden=[500,0]", "network.encoder.hidden[1] must be at least 1, got 0"),
    ("network.encoder.hidden=[]", "network.encoder.hidden must be a list, each a whole number of at least 1, got []"),
    ("network.encoder.hidden=[a]", "network.encoder.hidden[0] must be a whole number, got 'a'"),
    ("network.encoder.hidden=[1.5]", "network.encoder.hidden[0] must be a whole number, got 1.5"),
    ("network.encoder.hidden=[null]", "network.encoder.hidden[0] must be a whole number of at least 1, got null"),
    ("network.encoder.hidden=[[500]]", "network.encoder.hidden[0] must be a whole number, got [500]"),
    ("network.encoder.hidden=500", "write network.encoder.hidden=[500]"),
    (
        "network.encoder.hidden=null",
        "network.encoder.hidden must be a list, each a whole number",
    ),
    ("network.decoder.hidden=abc", "network.decoder.hidden must be a list"),
    *(
        (f"trainer.devices={value}", "trainer.devices must be at least 1, a list of devices like [0,1], -1 for all")
        for value in ("0", "-2", "[]", "[0,0]", "[-1]", "[a]", "abc", "1.5", "true", "null")
    ),
    # names and folders
    *(
        (f"experiment_name={value}", "experiment_name must be a name")
        for value in ("..", ".", "''", "null", "5", "[a]", "/", "true")
    ),
    *((f"data.name={value}", "data.name must be a name") for value in ("5", "''", "..", "null", "[a]", "1.5")),
    *((f"data.root={value}", "data.root must be a folder's path") for value in ("''", "null", "5", "[a]", "true")),
    ("hydra.run.dir=", "hydra.run.dir must be a folder's path, got ''"),
    ("probes.name=..", "probes.name must be a name"),
    ("probes.name=null", "probes.name must be a name, got null"),
    *((f"{key}=a/b", f"{key} must be a name, which has no slash") for key in ("experiment_name", "data.name")),
    ("probes.name=../x", "probes.name must be a name, which has no slash, got '../x'"),
    # references to other values
    ("trainer.max_steps=${optimizer.lr}", "trainer.max_steps must be a whole number, got 0.0003"),
    ("seed=${experiment_name}", "seed must be a whole number, got '"),
    # protocols
    ("probes.tap=5", "probes.tap must be text, got 5"),
    ("probes.tap=null", "probes.tap must be text, got null"),
    ("probes.train_limit=1.5", "probes.train_limit must be a whole number, got 1.5"),
    ("probes.train_limit=0", "probes.train_limit must be at least 1, got 0"),
    ("probes.test_limit=-3", "probes.test_limit must be at least 1, got -3"),
    ("probes.tsne_points=-1", "probes.tsne_points must be at least 0, got -1"),
    ("probes.tsne_points=null", "probes.tsne_points must be a whole number of at least 0, got null"),
    ("probes.clustering.n_init=1.5", "probes.clustering.n_init must be a whole number, got 1.5"),
    ("probes.clustering.n_init=0", "probes.clustering.n_init must be at least 1, got 0"),
    ("probes.classification.lr=null", "probes.classification.lr must be a number of at least 0, got null"),
    ("probes.classification.steps=many", "probes.classification.steps must be a whole number, got 'many'"),
    ("probes.part=validation", "probes.part=validation needs images set aside; set data.val_fraction"),
    # mappings
    ("trainer.callbacks=5", "trainer.callbacks must be settings by name, got 5"),
    ("trainer.callbacks=null", "trainer.callbacks must be settings by name, got null"),
    ("trainer.callbacks=[a]", "trainer.callbacks must be settings by name, got ['a']"),
    ("+trainer.callbacks.t=5", "trainer.callbacks.t must be settings by name, got 5"),
    ("bottleneck.codebook_init=5", "bottleneck.codebook_init must be settings by name, got 5"),
    ("optimizer._target_=5", "optimizer._target_ must be the path of a class, like package.module.Class, got 5"),
    ("optimizer._target_=null", "optimizer._target_ must be the path of a class, got null"),
    (
        "optimizer._target_=Adam",
        "optimizer._target_ must be the path of a class, like package.module.Class, got ",
    ),
    ("bottleneck._target_=''", "bottleneck._target_ must be the path of a class"),
    # Hydra's own words beside a class
    *(
        (f"+{part}._partial_=true", f"{part}._partial_ must be false, or left out: it is built at once, got True")
        for part in ("network.encoder", "reconstruction", "data.source", "data.module", "probes.clustering")
    ),
    ("optimizer._partial_=maybe", "optimizer._partial_ must be true or false, got 'maybe'"),
    ("+optimizer._convert_=nothing", "optimizer._convert_ must be one of none, partial, object, all, got 'nothing'"),
    ("+network.decoder._recursive_=5", "network.decoder._recursive_ must be true or false, got 5"),
    ("+optimizer._args_=5", "optimizer._args_ must be a list, each a value, got 5"),
    # what a class checks itself, and no number
    ("+optimizer.weight_decay=nan", "optimizer.weight_decay must be a finite number, got nan"),
    ("+optimizer.betas=[0.9,inf]", "optimizer.betas[1] must be a finite number, got inf"),
    ("+bottleneck.tau_start=nan", "bottleneck.tau_start must be a finite number, got nan"),
    ("+bottleneck.options={scale:inf}", "bottleneck.options.scale must be a finite number, got inf"),
]

MISSING: list[tuple[str, str]] = [
    *(
        (f"~{group}", f"{group} has no choice; leave it out, or choose one of ")
        for group in ("logger", "optimizer", "trainer", "probes", "network", "reconstruction", "bottleneck")
    ),
    *(
        (f"~{key}", f"{key} is missing; drop what takes it away, as ~{key}")
        for key in ("trainer.max_steps", "trainer.callbacks", "probes.tap", "seed", "resume", "trained")
    ),
    *(
        (f"{group}={value}", f"{group} has no choice {value or 'without a name'}; there are ")
        for group in (
            "logger",
            "probes",
            "bottleneck",
            "data",
            "network",
            "trainer",
            "optimizer",
            "fidelity",
            "experiment",
        )
        for value in ("null", "", "5")
    ),
    ("logger=[wandb,", "cannot be read"),
]

TYPED: list[tuple[str, str]] = [
    # choices that are written as files
    *(
        (f"bottleneck={choice}", f"bottleneck has no choice {choice}; there are ")
        for choice in ("vq.yaml", "../bottleneck/vq", "/etc/passwd", "vq/", "./vq")
    ),
    ("logger=[csv,../logger/csv]", "logger has no choice ../logger/csv; there are csv, "),
    ("bottleneck=vae +bottleneck=vq", "bottleneck is chosen already; write bottleneck=vq"),
    # classes that nothing builds
    ("+mine={part:{_target_:os.system}}", "mine.part._target_ has no effect here"),
    ("+trainer.mine._target_=torch.nn.Linear", "trainer.mine._target_ has no effect here"),
    # Hydra's own settings
    ("hydra.verbose=5", "a setting under hydra does not fit"),
    ("hydra.job.chdir=maybe", "hydra.job.chdir=maybe: Value 'maybe' is not a valid bool"),
    ("hydra.run.dir=/", "/ holds files that are no run's ("),
    # words from elsewhere
    ("lr=0.1", "there is no key lr; write optimizer.lr=0.1"),
    ("learning_rate=0.1", "write optimizer.lr=0.1"),
    ("K=8", "write bottleneck.K=8"),
    ("k=8", "write bottleneck.K=8"),
    ("codebook_size=8", "write bottleneck.K=8"),
    ("num_embeddings=8", "write bottleneck.K=8"),
    ("bottleneck=vae K=8", "write bottleneck.K=8, with bottleneck=em_vq or gumbel or "),
    ("d=32", "write network.d=32"),
    ("latent_dim=32", "write network.d=32"),
    ("beta=4", "write bottleneck.kl_weight=4 of a VAE, bottleneck.commitment_weight=4 of a quantizer"),
    ("epochs=10", "write trainer.max_steps=10: training counts steps"),
    ("num_epochs=10", "write trainer.max_steps=10"),
    ("steps=10", "write trainer.max_steps=10"),
    ("max_steps=10", "write trainer.max_steps=10"),
    ("model=vq", "write bottleneck=vq"),
    ("dataset=mnist", "write data=mnist"),
    ("batch_size=64", "write data.batch_size=64"),
    ("bs=64", "write data.batch_size=64"),
    ("gpus=1", "write trainer.accelerator=gpu trainer.devices=1"),
    ("device=cuda", "write trainer.accelerator="),
    ("num_workers=4", "write trainer.threads=4"),
    ("precision=16", "write trainer.precision="),
    ("n_jobs=2", "write hydra/launcher=local_joblib hydra.launcher.n_jobs=2 with -m"),
    ("seeds=0", "write seed=0, with -m seed=0,1,2"),
    ("output_dir=x", "write hydra.run.dir="),
    ("wandb=true", "write logger=wandb"),
    ("weight_decay=0.1", "write +optimizer.weight_decay=0.1"),
    ("val_fraction=0.1", "write data.val_fraction=0.1"),
    ("tap=z_q", "write probes.tap=z_q"),
    ("run=x", "write softvq evaluate run=PATH"),
    # flags
    ("--seed=3", "--seed=3: settings have no dashes; write seed=3"),
    ("--seed 3", "--seed: settings have no dashes; write seed=3"),
    ("--lr 0.1", "--lr: settings have no dashes; write lr=0.1"),
    ("--batch-size=3", "write batch_size=3"),
    ("-seed=3", "settings have no dashes; write seed=3"),
    ("--config-dir", "expected one argument"),
    ("--cfg nothing", "invalid choice: 'nothing'"),
    # misspelt
    ("bottelneck=vq", "there is no key bottelneck; did you mean bottleneck?"),
    ("trainer.max_step=3", "there is no key max_step in trainer; did you mean max_steps?"),
    ("trainer.epochs=3", "there is no key epochs in trainer"),
    ("bottleneck.k=3", "there is no key k in bottleneck; did you mean K?"),
    ("bottleneck=vae bottleneck.K=3", "there is no key K in bottleneck; there are "),
    ("bottleneck=sof_vq", "bottleneck has no choice sof_vq; did you mean soft_vq?"),
    ("data=minst", "data has no choice minst; did you mean mnist?"),
    ("data=base", "data has no choice base; there are "),
    ("experiment=table1", "experiment has no choice table1; did you mean table_1?"),
    ("fidelity=release", "fidelity has no choice release; did you mean released?"),
    ("logger=wandb,tensorboard", "names several values; add -m"),
    ("hydra/launcher=local_jobli", "hydra/launcher has no choice local_jobli; did you mean local_joblib?"),
    ("zebra=3", "there is no key zebra; `softvq train --help` shows the groups"),
    ("~zebra", "~zebra: there is no key zebra"),
    ("hydra.run.dri=x", "there is no key hydra.run.dri"),
    # not written as Hydra reads it
    ("seed", "'seed' cannot be read"),
    ("seed=[1", "'seed=[1' cannot be read"),
    ("=5", "'=5' cannot be read"),
    ("seed==5", "seed==5"),
    ("logs/runs/x", "'logs/runs/x' cannot be read"),
    ("bottleneck=vq,soft_vq", "bottleneck=vq,soft_vq names several values; add -m to run each of them"),
    ("seed=0,1,2", "seed=0,1,2 names several values; add -m to run each of them"),
    ("seed=range(0,3)", "add -m"),
    ("+bottleneck=vq", "bottleneck is chosen already; write bottleneck=vq"),
    (
        "trainer.callbacks={t:{_target_:a.B}}",
        "trainer.callbacks has no such entries yet; write +trainer.callbacks.",
    ),
    # for sweeps alone
    ("hydra/launcher=local_joblib", "hydra/launcher=local_joblib is for sweeps, and this is a single run; add -m"),
    ("hydra.launcher.n_jobs=2", "write hydra/launcher=local_joblib hydra.launcher.n_jobs=2 with -m"),
    ("hydra.sweep.dir=x", "hydra.sweep.dir=x is for sweeps"),
    ("hydra.sweeper.plan_only=true", "hydra.sweeper.plan_only=true is for sweeps"),
    ("experiment=search_soft_vq", "experiment=search_soft_vq is a search over bottleneck.K, bottleneck.sigma_eps"),
    ("hydra/sweeper=search", "hydra/sweeper=search is for sweeps, and this is a single run; add -m"),
    # Hydra's files among a run's
    ("hydra.output_subdir=..", "hydra.output_subdir=.. would put Hydra's files among a run's"),
    ("-m seed=0,1 hydra.output_subdir=figures", "hydra.output_subdir=figures would put Hydra's files among a run's"),
    ("--experimental-rerun=x", "--experimental-rerun runs whatever its file says"),
    (
        "-m seed=0,1 hydra.run.dir=x",
        "hydra.run.dir=x is for a single run; the folder of a sweep is hydra",
    ),
    ("-m seed=0,1 hydra.sweep.dir=", "hydra.sweep.dir must be a folder's path, got ''"),
    ("trainer.seeds_per_process=2", "trainer.seeds_per_process=2 is not possible here"),
]

TOGETHER: list[tuple[str, str]] = [
    # settings that do not fit together, or to the data
    ("network=conv", "need at least 16 x 16 pixels, got 8 x 8"),
    ("data.image_shape=[8,8,3]", "data.image_shape=[8, 8, 3]: the images of digits are [8, 8, 1]; leave it out"),
    ("data.image_shape=[8,8]", "data.image_shape=[8, 8]: the images of digits are [8, 8, 1]; leave it out"),
    ("bottleneck=gumbel bottleneck.tau_start=nan", "bottleneck.tau_start must be a finite number, got nan"),
    ("network=pixels", "bottleneck=raw and network=pixels belong together"),
    ("bottleneck=raw network=mlp", "bottleneck=raw and network=pixels belong together"),
    ("bottleneck=raw trained=true", "is a floor that is never trained"),
    ("bottleneck.d=32", "the bottleneck's z_e has width 32 but network.d is 64"),
    ("probes.tap=z_x", "probes.tap is 'z_x', which this bottleneck does not have; it has z_e, z_q"),
    ("bottleneck=identity probes.tap=z_q", "probes.tap is 'z_q', which this bottleneck does not have"),
    ("network.d=1000000", "lower network.d, bottleneck.K or the network's widths"),
    ("bottleneck.K=1000000000", "lower network.d, bottleneck.K or the network's widths"),
    ("trainer.accelerator=cpu trainer.devices=4000", "trainer.devices=4000: this machine has "),
    ("optimizer._target_=torch.optim.Adm", "torch.optim has no Adm; did you mean Adam?"),
    ("optimizer._target_=torch.optim.LBFGS", "does not fit this training; choose one of torch.optim."),
    ("optimizer._target_=torch.optim.SparseAdam", "does not fit this training"),
    ("optimizer._target_=nowhere.Adam", "there is no module nowhere; it must be installed"),
    ("optimizer._partial_=false", "optimizer._partial_ must be true"),
    ("+optimizer.momentum=0.9", "optimizer: TypeError: "),
    ("+optimizer.betas=5", "optimizer: "),
    ("+optimizer.amsgrad=maybe", "optimizer: TypeError: "),
    ("network.encoder=[5]", "network.encoder must be settings by name, got [5]"),
    ("data.source=[a]", "data.source must be settings by name, got ['a']"),
    ("bottleneck._target_=softvq.bottlenecks.vq.VQ", "softvq.bottlenecks.vq has no VQ"),
    ("bottleneck._target_=softvq.bottlenecks.nothing.VQ", "there is no module softvq.bottlenecks.nothing"),
    ("bottleneck._target_=pathlib.Path", "derive the class from softvq.bottlenecks.base.Bottleneck"),
    ("network.encoder._target_=nowhere.Encoder", "there is no module nowhere"),
    ("probes.clustering._target_=softvq.probes.clustering.KMean", "softvq.probes.clustering has no KMean"),
    ("data.source._target_=nowhere.Files", "there is no module nowhere"),
    # a new key that nothing reads
    ("+logger.extra=1", "logger.extra has no effect here"),
    ("+trainer.extra=1", "trainer.extra has no effect here"),
    ("+trainer.max_step=5", "trainer.max_step has no effect here; did you mean trainer.max_steps?"),
    ("+data.extra=1", "data.extra has no effect here"),
    ("+data.dir=elsewhere", "data.dir has no effect here"),
    ("+data.image_size=32", "data.image_size has no effect here"),
    ("+probes.extra=1", "probes.extra has no effect here"),
    ("+probes.extra.deep=1", "probes.extra.deep has no effect here"),
    ("+probes.extra={}", "probes.extra has no effect here"),
    ("+network.extra=1", "network.extra has no effect here"),
    ("+extra=1", "extra has no effect here"),
    ("+extra.deep=1", "extra.deep has no effect here"),
    ("+choices.bottleneck=vq", "choices.bottleneck has no effect here"),
    ("+image_shape=[8,8,1]", "image_shape has no effect here"),
    ("+result_settings.seed=0", "result_settings.seed has no effect here"),
    ("logger=tensorboard +logger.project=x", "logger.project has no effect here"),
    (
        "optimizer._target_=os.system",
        "optimizer._target_=os.system: it may run whatever it is given, and is not",
    ),
    ("bottleneck._target_=builtins.eval", "bottleneck._target_=builtins.eval: it may run whatever it is given, and is"),
    ("data.source._target_=subprocess.Popen", "data.source._target_=subprocess.Popen: it may run"),
    (
        "+trainer.callbacks.t={_target_:builtins.exec}",
        "callbacks.t._target_=builtins.exec: it may run",
    ),
    ("+hydra.callbacks.t._target_=os.system", "Target 'os.system' may run whatever it is given, and is not called"),
    ("hydra.job.env_copy=[NOWHERE_AT_ALL]", "Hydra stops with KeyError: a setting under hydra does not fit"),
    ("-m seed=0,1 hydra.sweep.dir=/dev/null/x", "hydra.sweep.dir=/dev/null/x: /dev/null is no folder; choose another"),
    ("~hydra.callbacks", "~hydra.callbacks: nothing under hydra can be taken away; drop it"),
    ("~hydra", "~hydra: nothing under hydra can be taken away; drop it"),
    ("hydra.callbacks={}", "hydra.callbacks={}: hydra.callbacks is what the program itself sets; drop it"),
    ("hydra.runtime.output_dir=x", "hydra.runtime.output_dir is what the program itself sets; drop it"),
    ("hydra.runtime.cwd=x", "hydra.runtime.cwd is what the program itself sets; drop it"),
    ("hydra.overrides.task=[seed=1]", "hydra.overrides.task is what the program itself sets; drop it"),
    ("hydra.job.name=x", "hydra.job.name is what the program itself sets; drop it"),
    ("hydra.job.config_name=evaluate", "hydra.job.config_name is what the program itself sets; drop it"),
    ("hydra.mode=MULTIRUN", "hydra.mode=MULTIRUN: write -m in place of it for several cells, or drop it"),
    ("+hydra.extra=1", "+hydra.extra=1: Hydra has no hydra.extra"),
    ("+hydra.run.extra=1", "+hydra.run.extra=1: Hydra has no hydra.run.extra"),
    ("+data.source.extra=1", "data.source: TypeError: "),
    ("+data.module.extra=1", "unexpected keyword argument 'extra'"),
    ("+reconstruction.extra=1", "unexpected keyword argument 'extra'"),
    ("+logger.trackers.extra=1", "logger.trackers.extra must be settings by name, got 1"),
    ("+logger.trackers.extra.deep=1", "logger.trackers.extra must name its class"),
    ("+bottleneck.extra=1", "unexpected keyword argument 'extra'"),
    ("+network.encoder.extra=1", "unexpected keyword argument 'extra'"),
    ("+probes.clustering.extra=1", "unexpected keyword argument 'extra'"),
    ("+trainer.callbacks.t={_target_:nowhere.Callback}", "there is no module nowhere"),
    ("+trainer.callbacks.t={a:5}", "trainer.callbacks.t"),
    ("+trainer.callbacks.t={_target_:lightning.pytorch.callbacks.ModelCheckpoint}", "writes checkpoints; drop it"),
    ("+trainer.callbacks.t={_target_:lightning.pytorch.callbacks.RichProgressBar}", "draws a bar; drop it"),
    ("+trainer.callbacks.t={_target_:lightning.pytorch.callbacks.EarlyStopping}", "trainer.callbacks.t: TypeError: "),
    ("+trainer.callbacks.t={_target_:pathlib.Path}", "trainer.callbacks.t must be a Lightning callback"),
    ("logger=wandb +logger.trackers.wandb.extra=1", "logger.trackers.wandb: got an unexpected keyword"),
    ("data=arrays", "data.dir has no value; add data.dir=..."),
    ("data=arrays data.dir=''", "data.dir must be a folder's path, got ''"),
    ("data=arrays data.dir=nowhere", "nowhere"),
    ("data=image_folder data.dir=nowhere", "nowhere"),
    ("data=image_folder data.dir=nowhere data.image_size=0", "data.image_size must be at least 1, got 0"),
    ("data=image_folder data.dir=nowhere data.image_size=big", "data.image_size must be a whole number, got 'big'"),
]

EVALUATE: list[tuple[str, str]] = [
    ("", "run has no value; add run=..."),
    ("logs/x", "'logs/x' cannot be read; write run=logs/x"),
    ("run=logs/x network=conv", "network=conv has no effect: a run keeps its network; drop it"),
    ("probes=fast -m run=logs/x", "run=logs/x stands behind a flag among settings; write the flags first"),
    ("run=logs/x", "run=logs/x holds no finished run"),
    ("run=", "run must be a folder's path, got ''"),
    ("run=null", "run must be a folder's path, got null"),
    ("run=5", "run must be a folder's path, got 5; write ./5 for a folder of that name"),
    ("run=logs/x probes=fats", "probes has no choice fats; did you mean fast?"),
    ("run=logs/x probes.seed=x", "probes.seed must be a whole number, got 'x'"),
    ("run=logs/x trainer.threads=0", "trainer.threads must be at least 1, got 0"),
    ("run=logs/x trainer.accelerator=gpv", "trainer.accelerator must be one of auto, cpu, gpu, cuda, mps, got 'gpv'"),
    ("run=logs/x trust=half.Half", "write trust=['half.Half']"),
    ("run=logs/x bottleneck.K=3", "bottleneck.K=3: a run keeps what it was trained with; `softvq evaluate --help`"),
    ("run=a,b", "names several values"),
    ("run=/dev/null", "run=/dev/null is no folder; name the folder of a finished run"),
    ("run=logs/x ~run", "run is missing; drop what takes it away, as ~run"),
    ("run=logs/x ~out", "~out: out has no value that could be taken away; drop it"),
    ("run=logs/x ~trainer.threads", "~trainer.threads: trainer.threads has no value that could be taken away"),
    ("run=logs/x ~probes.name", "probes.name is missing; drop what takes it away, as ~probes.name"),
    ("run=logs/x ~probes.seed", "probes.seed is missing; drop what takes it away, as ~probes.seed"),
    ("run=logs/x data=digits data.image_shape=[9,9,1]", "data.image_shape=[9,9,1] has no effect: a run keeps what"),
    ("run=logs/x data=digits data.pixel_offset=0", "data.pixel_offset=0 has no effect: a run keeps what it was"),
    ("run=logs/x probes.clustering.n_init=10000000000", "n_init must be at most 1000000000, got 10000000000"),
    (
        "run=logs/x hydra.run.dir=x",
        "hydra.run.dir=x has no effect: an evaluation goes into its run's folder, or to out=",
    ),
    ("run=logs/x hydra.job.chdir=true", "hydra.job.chdir=true has no effect"),
    ("run=logs/x hydra/launcher=basic", "hydra/launcher=basic has no effect"),
    ("run=logs/x ~hydra.run", "~hydra.run: nothing under hydra can be taken away; drop it"),
    ("-m run=a,b", "evaluate probes one run at a time; drop -m"),
    ("--run=logs/x", "settings have no dashes; write run=logs/x"),
]
