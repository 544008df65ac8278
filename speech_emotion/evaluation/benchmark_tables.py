"""Markdown of speed, memory and size, from ``benchmarks/results/*.json``."""

from collections.abc import Callable, Mapping
from typing import Any

from speech_emotion.evaluation.tables import markdown_table

Figures = Mapping[str, Any]


def throughput_table(figures: Figures) -> str:
    """Throughput beside the stock pipeline of ``transformers``, by precision and batch size."""
    rows = [
        [
            name,
            f"{row['clips_per_second']:.2f}",
            f"{row['ratio']:.2f}",
            *_agreement(row),
        ]
        for name, row in figures["rows"].items()
    ]
    stock = [name.removeprefix("stock, ") for name in figures["rows"] if name.startswith("stock")]
    runs = f"with {stock[0]}" if len(stock) == 1 else f"the fastest of {', '.join(stock)}"
    return (
        f"{figures['clips']} real clips, {figures['model']}. The ratio is to the stock pipeline of "
        f"transformers, {runs}, on the same files in the same process. Both read and decode the "
        "files, the stock pipeline with ffmpeg. Cleaning, transcripts and the check for speech, "
        "which the stock pipeline does not have, are off. Labels and probabilities are compared "
        "with the stock pipeline, one clip at a time, on the waveforms of our decoder; its timed "
        "runs decode otherwise, and their batches are not masked.\n\n"
        + markdown_table(
            ["", "clips a second", "ratio", "same label", "largest difference of a probability"],
            rows,
        )
    )


def batch_parity_table(figures: Figures) -> str:
    """Predictions in batches beside those of single clips."""
    rows = [
        [model, how, *_agreement(row)]
        for model, ways in figures["models"].items()
        for how, row in ways.items()
    ]
    shortest, longest = figures["seconds"]
    return (
        f"{figures['clips']} real clips of {shortest:.1f} to {longest:.1f} s, compared with the "
        "same model and code on each clip alone. The pipeline cleans them and sorts them into "
        "batches of similar length; the model gets them in random order."
        "\n\n" + markdown_table(["model", "", "same label", "largest difference"], rows)
    )


def recording_conditions_table(figures: Figures) -> str:
    """How many labels change when the same clips are recorded in another way."""
    rows = [[name, *map(str, counts.values())] for name, counts in figures["changed"].items()]
    models = "; ".join(f"model {n}: `{model}`" for n, model in enumerate(figures["models"], 1))
    return (
        f"Of {figures['clips']} real clips, the number whose predicted label differs from the one "
        "that the same model predicts for the unaltered clip, whether that is right or not. "
        f"Refused clips count. Every model runs its own code; {models}. "
        "A folder outside the repository is an earlier state of it.\n\n"
        + markdown_table(["condition", *(f"model {n + 1}" for n in range(len(rows[0]) - 1))], rows)
    )


def onnx_table(figures: Figures) -> str:
    """Size, speed and differences of ONNX files beside torch."""
    rows = [
        [
            model,
            kind,
            f"{row['mib']:.1f}",
            f"{row['ratio']:.2f}",
            *(_agreement(row) if "same_label" in row else ("", "")),
        ]
        for model, kinds in figures["models"].items()
        for kind, row in kinds.items()
        if isinstance(row, dict)
    ]
    return (
        f"{figures['clips']} real clips, one at a time, audio-only. The reference is torch in "
        "single precision in the same process. Only the model is timed, not reading or cleaning."
        "\n\n"
        + markdown_table(
            ["model", "", "MiB", "speed beside torch", "same label", "largest difference"], rows
        )
    )


def long_recording_table(figures: Figures) -> str:
    """Memory and time by the length of one recording, and by what was done with it."""
    rows = [
        [
            f"{run['minutes']:g} min",
            "faster-whisper alone" if run.get("alone") else f"`{run.get('transcriber', 'none')}`",
            f"`{run['speakers']}`" if run.get("speakers") else "",
            f"{run['peak_mib']} MiB",
            f"{run['seconds']:.0f} s",
            f"{run['cpu_seconds']:.0f} s" if "cpu_seconds" in run else "",
            f"{run['seconds_per_hour_of_audio']:.0f} s",
            *(str(run.get(name) or "") for name in ("words", "windows", "segments")),
        ]
        for run in figures["runs"]
    ]
    header = (
        *("recording", "transcriber", "speakers", "peak memory", "time", "processor"),
        *("an hour of audio", "words", "windows", "segments"),
    )
    alone = (
        " faster-whisper alone has its defaults, but for the times of words."
        if any(run.get("alone") for run in figures["runs"])
        else ""
    )
    made = figures.get("recordings", "real clips, repeated with a second of silence after each")
    return (
        f"`{figures['model']}`, {figures['what']}; start included, one run each. The recordings "
        f"are {made}.{alone}\n\n" + markdown_table(header, rows)
    )


def archive_table(figures: Figures) -> str:
    """Speed and memory by the number of clips, with workers and without."""
    rows = [
        [
            str(row["clips"]),
            str(row["workers"]),
            f"{row['seconds']:.0f} s",
            f"{row['real_time']:.0f}",
            f"{row['ratio']:.2f}",
            f"{row['peak_mib']} MiB",
        ]
        for row in figures["rows"]
    ]
    header = ["clips", "workers", "time", "times real time", "ratio to the first row", "memory"]
    return f"`{figures['model']}`, {figures['what']}.\n\n" + markdown_table(header, rows)


def features_table(figures: Figures) -> str:
    """Extraction of the 94 features beside librosa's functions and openSMILE."""
    names = {
        "ours": "94 features, one transform",
        "librosa": "librosa's five functions, one after the other",
        "opensmile_egemaps": "openSMILE eGeMAPSv02 (88 other features)",
    }
    ratios = {
        "librosa": figures["ratio_to_librosa"],
        "opensmile_egemaps": figures["ratio_to_opensmile_egemaps"],
    }
    rows = [
        [names[key], f"{min(v):.0f} to {max(v):.0f}", f"{ratios[key]:.1f}" if key in ratios else ""]
        for key, v in figures["clips_per_second"].items()
    ]
    return (
        f"{figures['clips']} clips of {figures['mean_seconds']:.2f} s in the mean, "
        f"{len(figures['clips_per_second']['ours'])} rounds in turns, on one thread, of decoded "
        "clips. The ratios are of the medians; eGeMAPS are other features, so that ratio is one of "
        "cost. "
        "Largest difference from librosa, as a share of the value: "
        f"{figures['largest_difference_from_librosa']:.1g}.\n\n"
        + markdown_table(["", "clips a second", "ours is faster by"], rows)
    )


def corpus_build_table(figures: Figures) -> str:
    """A corpus build beside a simple loop, and its memory."""
    speed = figures["speed"]
    rows = [
        [
            str(row["clips"]),
            f"{row['parent_mib']} MiB",
            ", ".join(f"{mib} MiB" for mib in row["workers_mib"]),
        ]
        for row in figures["peak_memory"]
    ]
    runs = len(speed["seconds"]["build"])
    return (
        f"{speed['clips']} clips, imports included, the median of {runs} runs in turns: with "
        f"{speed['workers']} workers, {speed['ratio']:.2f} times as fast as a simple loop over "
        "librosa and noisereduce in one process, so the ratio is not one of equal processes. The "
        "loop decodes, reduces noise, cuts silence and writes FLAC; the build also hashes, drops "
        "duplicates, splits, audits and writes shards.\n\n"
        + markdown_table(["clips", "peak memory, main process", "workers"], rows)
    )


def space_load_table(figures: Figures) -> str:
    """The demo or the HTTP server under load by many clients."""
    latency, memory = figures["latency_seconds"], figures["memory_megabytes"]
    return (
        f"{figures['clients']} clients for {figures['seconds']:.0f} s: "
        f"{figures['answers']} answers to {figures['asked']} requests, "
        f"{figures['lost']} lost, {figures['mixed_up']} mixed up; "
        f"median {latency['median']:.1f} s, worst {latency['worst']:.1f} s; memory "
        f"{memory['before']:.0f} MB before, {memory['most']:.0f} MB at most, "
        f"{memory['after']:.0f} MB after."
    )


def space_latency_table(figures: Figures) -> str:
    """Time to the first answer and to the result on the page of the demo."""
    rows = [
        [row["transcriber"]]
        + [f"{row[name][key]:.2f} s" for name in ("first", "result") for key in ("median", "worst")]
        for row in figures["rows"]
    ]
    return (
        f"`{figures['model']}`, {figures['clips']} clips, {figures['rounds']} times each, in "
        f"Chromium on the same machine: {figures['what']}. With a transcriber the first answer is "
        "that of the voice alone.\n\n"
        + markdown_table(["transcriber", "first, median", "worst", "result, median", "worst"], rows)
    )


def live_table(figures: Figures) -> str:
    """Delay and memory of a live recording."""
    delay, memory = figures["delay_s"], figures["memory_mib_by_tenths"]
    rows = [[f"{delay[name]:.2f} s" for name in ("median", "95%", "worst")]]
    rows[0].append(f"{memory[0]} to {memory[-1]} MiB")
    return (
        f"`{figures['model']}`, {figures['what']}: {figures['minutes']} minutes in chunks of "
        f"{figures['chunk_ms']} ms; from the end of a window to its result.\n\n"
        + markdown_table(["median", "95 %", "worst", "memory, first to last tenth"], rows)
    )


def head_training_table(figures: Figures) -> str:
    """An epoch of head training with cached vectors and without."""
    seconds = figures["seconds"]
    rows = [
        ["the one pass", f"{seconds['the one pass']:.1f} s"],
        ["an epoch with the cache", f"{min(seconds['epoch with the cache']):.2f} s"],
        ["an epoch without", f"{min(seconds['epoch without']):.1f} s"],
    ]
    ratio = figures["ratio of six epochs, the pass included"]
    with_it, without = (len(seconds[f"epoch {kind}"]) for kind in ("with the cache", "without"))
    return (
        f"{figures['clips']} clips, {figures['encoders']} with random weights, on both sides "
        f"train.py. Six epochs with their pass: {ratio:.1f} times as fast, computed from the "
        f"fastest of {with_it} epochs with the cache and of {without} without.\n\n"
        + markdown_table(["", "wall time"], rows)
    )


def word_error_rate_table(figures: Figures) -> str:
    """Errors and time of the transcribers."""
    rows = [
        [
            f"`{row['transcriber']}`",
            *(
                f"{100 * row[corpus]['wer']:.1f} %, {100 * row[corpus]['exact']:.0f} %"
                for corpus in ("ravdess", "tess")
            ),
            f"{row['seconds_a_clip']:.2f} s",
            f"{row['cpu_seconds_a_clip']:.2f} s",
        ]
        for row in figures["rows"]
    ]
    return (
        f"{figures['clips']} clips of each corpus (seed {figures['seed']}), of "
        f"{figures['mean_seconds']:.1f} s in the mean, one at a time, the transcribers in turns. "
        "Word error rate after Whisper's normaliser, and clips without an error; the median time "
        "of a clip, and the processor time.\n\n"
        + markdown_table(
            ["", "RAVDESS: errors, exact", "TESS: errors, exact", "a clip", "processor"], rows
        )
    )


def training_equivalence_table(figures: Figures) -> str:
    """Loss curves of one and two processes, and of an interrupted run."""
    processes, resume = figures["processes"], figures["resume"]
    curves = {name: values for name, values in processes.items() if isinstance(values, list)}
    epochs = len(next(iter(curves.values())))
    rows = [[name, *(f"{value:.6f}" for value in values)] for name, values in curves.items()]
    facts = "; ".join(f"{name}: {value}" for name, value in resume.items() if _is_plain(value))
    return (
        f"Largest difference between one process and two: {processes['largest difference']:.1g}. "
        f"A run that was killed and resumed, beside an uninterrupted one: {facts}.\n\n"
        + markdown_table(["loss", *(f"epoch {number}" for number in range(1, epochs + 1))], rows)
    )


def bare_classifiers_table(figures: Figures) -> str:
    """UA of the baselines of Table 6 and of a plain scikit-learn script."""
    rows = [
        [
            row["row"],
            row["protocol"].replace("_", "-"),
            f"{100 * row['ua']:.1f}",
            ", ".join(f"{100 * value:.1f}" for value in row["bare_ua"]),
        ]
        for row in figures["rows"]
    ]
    seeds = ", ".join(map(str, figures["seeds"]))
    return (
        "UA on the test split in per cent; the script scales, fits and scores with scikit-learn, "
        f"xgboost and lightgbm alone, with seeds {seeds}. The baselines have seed 0.\n\n"
        + markdown_table(["baseline", "protocol", "UA", "UA of the script, by seed"], rows)
    )


BENCHMARKS: dict[str, tuple[str, Callable[[Figures], str]]] = {
    "throughput": ("Throughput beside the stock pipeline", throughput_table),
    "batch_parity": ("Batches beside single clips", batch_parity_table),
    "onnx_export": ("ONNX", onnx_table),
    "recording_conditions": ("Level, offset, knocks and phase", recording_conditions_table),
    "archive": ("Archives of clips", archive_table),
    "long_recording": ("Long recordings", long_recording_table),
    "feature_extraction": ("Extraction of the 94 features", features_table),
    "bare_classifiers": ("Table 6 beside a plain script", bare_classifiers_table),
    "corpus_build": ("Building a corpus", corpus_build_table),
    "head_training": ("Training a head on frozen encoders", head_training_table),
    "training_equivalence": ("Two processes, and a resumed run", training_equivalence_table),
    "space_load": ("The demo under load", space_load_table),
    "space_latency": ("Answers of the demo to one clip", space_latency_table),
    "live": ("A recording while it is made", live_table),
    "word_error_rate": ("Errors and time of the transcribers", word_error_rate_table),
    "serve_load": ("The HTTP server under load", space_load_table),
}
"""Title and table of every benchmark, by the name of its results file, in the order shown."""


def benchmarks_document(results: Mapping[str, Figures]) -> str:
    """All of docs/benchmarks.md, of those benchmarks that have been run.

    Args:
        results: by name, see :data:`BENCHMARKS`, with the kind of CPU: ``live.avx2``.
    """
    parts = [
        "# Speed, memory and size",
        "Written by `python -m speech_emotion.evaluation.report` from the files in "
        "`benchmarks/results/`; do not edit. Each section says what was compared, and the commit "
        "that was measured: code that changed later has not been measured again. Ratios are "
        "between runs of one command on one machine. Each kind of CPU has a file and a table of "
        "its own.",
    ]
    for name, (title, table) in BENCHMARKS.items():
        of_kinds = [results[key] for key in sorted(results) if key.split(".")[0] == name]
        parts += [f"## {title}"] if of_kinds else []
        for figures in of_kinds:
            machine = figures["machine"]
            kind = f"CPU with {machine['cpu']}" if "cpu" in machine else "CPU not recorded"
            parts += [
                f"**{kind}.** {table(figures)}",
                f"`{figures['command']}`, commit {(figures['commit'] or 'none')[:12]}; "
                f"{', '.join(_fact(*fact) for fact in machine.items() if fact[0] != 'cpu')}.",
            ]
    return "\n\n".join(parts) + "\n"


def _fact(name: str, value: Any) -> str:
    return f"{name.replace('_', ' ')} {' '.join(value) if isinstance(value, list) else value}"


def _agreement(row: Figures) -> tuple[str, str]:
    """Cells of the share of equal labels and the largest difference of a probability."""
    return f"{100 * row['same_label']:.1f} %", f"{row['largest_probability_difference']:.2g}"


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)
