"""Overrides as they are typed: the key of one, a value that Hydra takes as it is, and a list where it takes none."""

from softvq.config.compose import groups

SEVERAL_CHOICES = ("logger",)  # groups of which a run takes several at once


def key_of(override: str) -> str:
    """The setting or the group that an override is about.

    Example:
        >>> key_of("+trainer.callbacks.stop._target_=CLASS"), key_of("~logger"), key_of("network@_global_=mlp")
        ('trainer.callbacks.stop._target_', 'logger', 'network')
    """
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def quoted(text: str) -> str:
    """A string as Hydra's overrides take it whatever characters it holds."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def refused_list(override: str) -> str | None:
    """What is wrong with an override that gives a list to a group of which a run takes one choice; None if nothing is.

    Example:
        >>> refused_list("bottleneck=[vq,soft_vq]")
        'bottleneck=[vq,soft_vq]: bottleneck takes one choice; write bottleneck=vq,soft_vq with -m to run each'
    """
    group, value = key_of(override), override.partition("=")[2]
    if not value.startswith("[") or group not in groups() or group in SEVERAL_CHOICES:
        return None
    choices = value.strip("[] ") or "NAME"
    each = " with -m to run each" if "," in choices else ""
    return f"{override}: {group} takes one choice; write {group}={choices}{each}"
