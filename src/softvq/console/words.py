"""How counts and times are written."""


def counted(number: int, what: str) -> str:
    """`1 cell`, `1,438 images`.

    Args:
        number: how many there are.
        what: one of them; further ones take an s.
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """`0:05`, `12:30` or `3:05:00`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
