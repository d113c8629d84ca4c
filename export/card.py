"""The model card of a trained model, filled in from its run: after Mitchell et al. (2019)."""

from typing import Any

import msgspec

from ..models.datasets.recordings import PARTS
from ..models.networks import described
from .assessment import Assessment
from .write import LIMITS_RECORDED


def card(found: Assessment, versions: str) -> dict[str, str]:
    """Its entries, one line each.

    Args:
        versions: of the software that trained the model.
    """
    config = found.config
    sizes: dict[str, Any] = msgspec.to_builtins(config.model, enc_hook=described)
    kind = sizes.pop("model")
    del sizes.get("smoother", sizes)["modalities"]
    inputs = [
        f"{m.name} ({m.schema or 'a vector'}, {m.dim} numbers, {m.likelihood})"
        for m in config.model.modalities
        if m.role != "target"
    ]
    everything = found.scores["model"]["all"]
    calibrated = "not calibrated"
    if found.widening is not None:
        calibrated = (
            f"calibrated on people who were neither trained nor tested on: {found.widening:.2f} × as trained"
        )
    raters = "not recorded"
    if found.raters is not None:
        raters = f"{len(found.raters.others)}: {', '.join(found.raters.others)}"
    trained, chosen, tested = (found.divided[part] for part in PARTS)
    return {
        "Model": f"{kind}: {', '.join(f'{key} {value}' for key, value in sizes.items())}",
        "Inputs": ", ".join(inputs),
        "Output": f"{found.target.name} ({found.target.likelihood}), {config.rate} times per second, causal",
        "90 % interval": calibrated,
        "Data": f"{config.trained_on or 'sessions of your own'}: {trained} trained on, {chosen} to choose "
        f"by, {tested} to test on",
        "Raters": raters,
        "Scores": f"of {len(found.by_person.people)} {found.people} people: CCC {everything['ccc']:.3f}, "
        f"RMSE {everything['rmse']:.3f}, {100 * everything['coverage90']:.0f} % of labels in the interval",
        "Limits": LIMITS_RECORDED.format(config.trained_on or "the recorded ones"),
        "Licence": config.licence,
        "Made with": versions,
    }
