"""What a setting may be: kinds of values with their bounds, and one wording for all that is refused."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from omegaconf import Container, OmegaConf

from softvq.bounded_files import printable
from softvq.checks import at_least
from softvq.config.compose import nearest

LONGEST_LABEL = 100
LONGEST_SHOWN = 60  # of a refused value
TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")

LARGEST = 10**9  # of whole numbers without a bound of their own; libraries in C take little more


@dataclass(frozen=True)
class Kind:
    """What a setting may be.

    Attributes:
        description: of the values, as in "must be DESCRIPTION".
        check: takes key and value, and raises a ValueError that names both and the rule.
        meaning: of the setting.
        null_means: what null stands for; None where null is refused.
    """

    description: str
    check: Callable[[str, Any], None]
    meaning: str = ""
    null_means: str | None = None

    def means(self, meaning: str) -> "Kind":
        """The same kind with what the setting means."""
        return replace(self, meaning=meaning)

    def null(self, meaning: str) -> "Kind":
        """The same kind that may also be null, and what that stands for."""
        return replace(self, null_means=meaning)

    def refuse(self, key: str, value: Any) -> None:
        """Raises a ValueError for a value that the setting may not have."""
        if value is not None:
            self.check(key, value)
        elif self.null_means is None:
            raise ValueError(f"{key} must be {self.description}, got null")


def _refuse(key: str, description: str, value: Any, advice: str = "") -> ValueError:
    return ValueError(f"{key} must be {description}, got {shown(value)}{advice}")


def shown(value: Any) -> str:
    """A value as a message shows it: on one line, a long one cut off."""
    plain = OmegaConf.to_container(value) if isinstance(value, Container) else value
    text = printable(repr(plain))
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def whole(minimum: int, maximum: int | None = None) -> Kind:
    """A whole number within bounds."""

    def check(key: str, value: Any) -> None:
        if isinstance(value, float) and value.is_integer():
            raise _refuse(key, "a whole number", value, f"; write {int(value)}")
        if isinstance(value, str | float | Container):
            raise _refuse(key, "a whole number", value)
        at_least(key, value, minimum, whole=True)
        if value > (LARGEST if maximum is None else maximum):
            raise ValueError(f"{key} must be at most {LARGEST if maximum is None else maximum}, got {shown(value)}")

    description = f"a whole number of at least {minimum}" + (f" and at most {maximum}" if maximum is not None else "")
    return Kind(description, check)


def number(minimum: float, maximum: float | None = None, below: float | None = None) -> Kind:
    """A finite number within bounds."""
    bounds = f"at least {minimum}"
    bounds += f" and at most {maximum}" if maximum is not None else f" and below {below}" if below is not None else ""

    def check(key: str, value: Any) -> None:
        if isinstance(value, bool | str | Container) or not abs(value) < float("inf"):
            raise _refuse(key, "a finite number", value)
        if value < minimum or (maximum is not None and value > maximum) or (below is not None and value >= below):
            raise ValueError(f"{key} must be {bounds}, got {shown(value)}")

    return Kind(f"a number of {bounds}", check)


def word(*words: str, also: Sequence[str] = ()) -> Kind:
    """One of some words; those of `also` are accepted, too, but no message offers them."""
    description = f"one of {', '.join(words)}"

    def check(key: str, value: Any) -> None:
        if isinstance(value, Container) or str(value) not in (*words, *also):
            raise _refuse(key, description, value, nearest(str(value), words))

    return Kind(description, check)


def flag(auto: bool = False) -> Kind:
    """True or false, or auto where that is a choice."""
    description = f"true{', false or auto' if auto else ' or false'}"

    def check(key: str, value: Any) -> None:
        if not isinstance(value, bool) and not (auto and value == "auto"):
            raise _refuse(key, description, value)

    return Kind(description, check)


def never() -> Kind:
    """`_partial_` of a class that is built at once: true would hand over a function in place of the object."""
    description = "false, or left out: it is built at once"

    def check(key: str, value: Any) -> None:
        if value is not False:
            raise _refuse(key, description, value)

    return Kind(description, check)


def text() -> Kind:
    """Text that is not empty."""

    def check(key: str, value: Any) -> None:
        if not isinstance(value, str) or not value.strip() or printable(value) != value:
            raise _refuse(key, "text", value)

    return Kind("text", check)


def label() -> Kind:
    """A name that is part of a folder's."""

    def check(key: str, value: Any) -> None:
        if isinstance(value, int | float):
            raise _refuse(key, "a name", value, f"; put a letter into it, like {key}=run_{value}")
        if not isinstance(value, str) or not any(map(str.isalnum, value)) or printable(value) != value:
            raise _refuse(key, "a name with a letter or a digit", value)
        if "/" in value or "\\" in value:
            raise _refuse(key, "a name, which has no slash", value)
        if len(value) > LONGEST_LABEL:
            raise _refuse(key, f"a name of at most {LONGEST_LABEL} characters", value)

    return Kind("a name", check)


def folder() -> Kind:
    """The path of a folder, which need not exist."""

    def check(key: str, value: Any) -> None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise _refuse(key, "a folder's path", value, f"; write ./{value} for a folder of that name")
        if not isinstance(value, str) or not value.strip() or printable(value) != value:
            raise _refuse(key, "a folder's path", value)

    return Kind("a folder's path", check)


def listed(item: Kind, empty: bool = False) -> Kind:
    """A list of values of one kind."""
    description = f"a list, each {item.description}"

    def check(key: str, value: Any) -> None:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise _refuse(key, description, value, f"; write {key}=[{shown(value)}]")
        if not value and not empty:
            raise _refuse(key, description, value)
        for n, element in enumerate(value):
            item.refuse(f"{key}[{n}]", element)

    return Kind(description, check)


def devices() -> Kind:
    """How many devices, or which."""
    description = "at least 1, a list of devices like [0,1], -1 for all, or auto"

    def check(key: str, value: Any) -> None:
        plain = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
        if isinstance(plain, list):
            good = bool(plain) and all(type(n) is int and n >= 0 for n in plain) and len(set(plain)) == len(plain)
        else:
            good = plain == "auto" or (type(plain) is int and (plain >= 1 or plain == -1))
        if not good:
            raise _refuse(key, description, value)

    return Kind(description, check)


def mapping() -> Kind:
    """Settings by name."""

    def check(key: str, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise _refuse(key, "settings by name", value, f"; write {key}.NAME=VALUE, of a new name +{key}.NAME=VALUE")

    return Kind("settings by name", check)


def target() -> Kind:
    """The dotted path of a class or a function."""

    def check(key: str, value: Any) -> None:
        if not isinstance(value, str) or not TARGET.fullmatch(value):
            raise _refuse(key, "the path of a class, like package.module.Class", value)

    return Kind("the path of a class", check)


def anything() -> Kind:
    """A value that its module checks; its numbers are finite, so that any comparison tells."""

    def check(key: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for name, one in value.items():
                check(f"{key}.{name}", one)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            for n, one in enumerate(value):
                check(f"{key}[{n}]", one)
        elif isinstance(value, float) and not abs(value) < float("inf"):
            raise _refuse(key, "a finite number", value)

    return Kind("a value", check)
