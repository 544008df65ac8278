"""The table of `python -m recipes.mini.folds_report`."""

from typing import Any

from speech_emotion.evaluation.tables import Result


def recipe_table(result: Result) -> str:
    """The recipe of the checkpoint that ships, beside what was measured on the same folds."""
    rows = [*result["recipe"], *result["references"]]
    folds = list(rows[0]["folds"])
    head = ["System", "Learnt from", *(f"UA, fold {fold}" for fold in folds)]
    head += ["Mean UA", "WA, all folds", "UA, all folds"]
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join(['---'] * len(head))} |"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    pooled = rows[0]["pooled"]
    commands = [f"`{row['command']}`" for row in result["recipe"]]
    own = f"`{result['command']}`"
    if run := result.get("references_by"):
        commands.append(f"`{run['command']}` (the rows beside, at commit {run['commit'][:12]})")
    lines += [
        "",
        f"- In per cent. RAVDESS, neutral removed, {pooled['clips']} clips of {pooled['speakers']} "
        "actors in its published subject-wise folds, as far as they are at hand: every actor is "
        "answered by a model that has not heard them, in any stage. In brackets the 95 % interval "
        "over speakers.",
        "- The last epoch is kept. The settings of the recipe were chosen with these folds in "
        "view, which flatters its rows a little.",
        f"- Made by {' and '.join(dict.fromkeys([*commands, own]))}.",
    ]
    return "\n".join(lines)


def _cells(row: dict[str, Any]) -> list[str]:
    pooled = row["pooled"]
    return [
        row["name"],
        row["heard"],
        *(_per_cent(fold["ua"]) for fold in row["folds"].values()),
        _per_cent(row["mean"]["ua"]),
        *(
            f"{_per_cent(pooled[name])} "
            f"({' to '.join(map(_per_cent, pooled['over_speakers'][name]))})"
            for name in ("wa", "ua")
        ),
    ]


def _per_cent(share: float) -> str:
    return f"{100 * share:.1f}"
