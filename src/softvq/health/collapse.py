"""Names a collapsed code: by which number, and what usually helps."""

from collections.abc import Mapping

PATIENCE = 10  # panels in a row that must show a symptom before it is named while training


class CollapseWatch:
    """Follows the panels of a training, and names each symptom once: when `PATIENCE` panels in a row have shown it.

    In the first steps every code looks collapsed.
    """

    def __init__(self) -> None:
        self._panels: dict[str, int] = {}  # that have shown a symptom in a row, by its name
        self._named: set[str] = set()

    def new_symptoms(self, numbers: Mapping[str, float | int]) -> list[tuple[str, str]]:
        """Takes the next panel; returns what is now to be named, as `collapse` words it."""
        found = collapse(numbers)
        self._panels = {name: self._panels.get(name, 0) + 1 for name, _ in found}
        new = [(name, text) for name, text in found if self._panels[name] >= PATIENCE and name not in self._named]
        self._named.update(name for name, _ in new)
        return new


def collapse(numbers: Mapping[str, float | int]) -> list[tuple[str, str]]:
    """What of a panel shows a collapsed code: each such number's name, and what it means and what usually helps."""
    gaussian = "mutual_information_bound" in numbers
    found = []
    units, active = numbers["units"], numbers["active_units"]
    inactive = active < 0.05 * units
    if inactive:
        advice = (
            "the posterior of the others has collapsed onto the prior: lower the KL's weight, or let its capacity rise "
            "slowly (bottleneck=capacity_vae)"
            if gaussian
            else "the code is nearly the same for every image: lower optimizer.lr or penalty_weight"
        )
        found.append(("active_units", f"{active:.0f} of {units:.0f} units vary with the image; {advice}"))
    if units > 2 and numbers["effective_rank"] < 1.5 and not inactive:
        advice = (
            "take more codes an image (network=conv_spatial) or codewords that follow the codes (bottleneck=vq_ema)"
            if "K" in numbers
            else "lower penalty_weight or optimizer.lr"
        )
        found.append(("effective_rank", f"the code varies in {numbers['effective_rank']:.1f} directions; {advice}"))
    if gaussian and numbers["mutual_information_bound"] < 1 and not inactive:
        text = f"the code tells at most {numbers['mutual_information_bound']:.2f} bits of the image"
        found.append(("mutual_information_bound", f"{text}; lower the KL's weight or raise what it allows"))
    for name in ("posterior_perplexity", "perplexity"):
        if name in numbers:
            K, used = numbers["K"], numbers[name]
            if used < max(1.5, K / 5):
                advice = "lower bottleneck.K or penalty_weight, or revive dead codewords (bottleneck=vq_ema_revival)"
                found.append((name, f"{used:.1f} of {K:.0f} codewords are in use; {advice}"))
            break  # a posterior that spreads over the codewords keeps those alive that are never its maximum
    if numbers.get("posterior_perplexity", 0) >= 1.5 and numbers["mutual_information"] < 0.1:
        text = f"the posterior over codewords tells {numbers['mutual_information']:.2f} bits of the image"
        found.append(("mutual_information", f"{text}; lower the bottleneck's weights or bottleneck.sigma_eps"))
    return found
