"""The page of the evaluate Space: class ids in, scores out. `python metrics/ser/app.py` opens it.

The widget of `evaluate` needs a Gradio older than version 4, so it is not used.
"""

import gradio as gr

import ser


def scores(references: str, predictions: str) -> dict[str, float]:
    """Every score of two lists of class ids, separated by commas or spaces.

    Raises:
        gr.Error: not whole numbers, none at all, or lists of different lengths.
    """
    try:
        true, predicted = (
            [int(n) for n in ids.replace(",", " ").split()] for ids in (references, predictions)
        )
        return ser.scores(true, predicted)
    except ValueError as error:
        raise gr.Error(f"Two lists of class ids are needed, of one length: {error}") from error


demo = gr.Interface(
    scores,
    [
        gr.Textbox("0, 1, 0, 0", label="True class ids"),
        gr.Textbox("0, 1, 1, -1", label="Predicted class ids; -1 for a clip without a prediction"),
    ],
    gr.JSON(label="Scores"),
    title="Speech emotion scores",
    description="Weighted accuracy, unweighted accuracy, their sum and macro-F1.",
    flagging_mode="never",
)

if __name__ == "__main__":
    demo.launch()
