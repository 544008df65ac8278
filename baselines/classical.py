"""Classical classifiers on hand-crafted features (paper, section III-B, Table 6)."""

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler


def logistic_regression(*, seed: int) -> Pipeline:
    """Multinomial logistic regression on standardised features.

    The scaler is fitted with the classifier, so it sees the training clips alone.
    """
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed))
