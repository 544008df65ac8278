"""Figure 2: clips per emotion of the combined, cleaned corpus."""

import io
from collections.abc import Mapping


def class_figure(counts: Mapping[str, Mapping[str, int]]) -> bytes:
    """Draw a bar per emotion, stacked by corpus.

    Args:
        counts: emotion -> corpus -> clips.

    Returns:
        A PNG; the same counts give the same bytes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    emotions = list(counts)
    corpora = sorted({corpus for by_corpus in counts.values() for corpus in by_corpus})
    bottom = [0] * len(emotions)
    for corpus in corpora:
        heights = [counts[emotion].get(corpus, 0) for emotion in emotions]
        axes.bar(emotions, heights, bottom=bottom, label=corpus)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    for index, total in enumerate(bottom):
        axes.annotate(str(total), (index, total), ha="center", va="bottom", fontsize=9)
    axes.set_ylabel("clips")
    axes.set_title("Clips per emotion after cleaning")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    canvas.print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()
