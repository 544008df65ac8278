"""What is checked when a checkpoint is loaded: its weights and its labels."""

from collections.abc import Sequence
from typing import Any

from .configuration_hubert_bert import EMOTIONS, HubertBertConfig

HEAD = ("classifier.weight", "classifier.bias")
"""Weights of the head, which depend on the labels."""


def refuse_random_parts(name: str, info: dict[str, Any], *, allowed: Sequence[str] = ()) -> None:
    """Refuse a checkpoint whose weights are not those of the model.

    Args:
        name: the checkpoint, for the message.
        info: what ``from_pretrained(..., output_loading_info=True)`` returns.
        allowed: weights that may have another shape.

    Raises:
        ValueError: a weight is missing, has another shape, or is unknown to the model.
    """
    for problem in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        keys = (key if isinstance(key, str) else key[0] for key in info.get(problem) or ())
        names = sorted(set(keys) - set(allowed if problem == "mismatched_keys" else ()))
        if names:
            hint = (
                "; ignore_mismatched_sizes=True starts a new head"
                if set(names) <= set(HEAD)
                else ""
            )
            raise ValueError(
                f"{name}: {problem.replace('_', ' ')} in the weights: {', '.join(names[:3])}"
                f"{' ...' if len(names) > 3 else ''} ({len(names)} in all); "
                f"a model with random parts is refused{hint}"
            )


def other_labels(source: Any, options: dict[str, Any]) -> tuple[str, ...]:
    """The checkpoint's labels, when ``id2label`` in the options of ``from_pretrained`` differs."""
    wanted = options.get("id2label") or getattr(options.get("config"), "id2label", None)
    if not wanted:
        return ()
    hub = {k: options[k] for k in ("revision", "token", "subfolder") if k in options}
    stored, _ = HubertBertConfig.get_config_dict(source, **hub)
    known = stored.get("id2label") or dict(enumerate(EMOTIONS))
    names = [[str(labels[i]) for i in sorted(labels, key=int)] for labels in (known, wanted)]
    plain = [[name.strip().casefold() for name in labels] for labels in names]
    return () if plain[0] == plain[1] else tuple(names[0])
