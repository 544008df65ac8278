"""The classifiers of Table 6 beside a plain scikit-learn script on the same features and splits.

    python benchmarks/bare_classifiers.py --data corpus

The features are those of the baselines (``benchmarks/feature_extraction.py`` compares them with
librosa's functions). The script scales, fits and scores with scikit-learn, xgboost and lightgbm
alone, once per seed; a result of ``results/table6.json`` should lie among its seeds.
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from datasets import Audio  # noqa: E402
from lightgbm import LGBMClassifier  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.metrics import balanced_accuracy_score  # noqa: E402
from sklearn.naive_bayes import GaussianNB  # noqa: E402
from sklearn.neighbors import KNeighborsClassifier  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.tree import DecisionTreeClassifier  # noqa: E402
from xgboost import XGBClassifier  # noqa: E402

from benchmarks.results_file import make_parser, write_figures  # noqa: E402
from corpus_builder.reading import open_corpus  # noqa: E402
from speech_emotion.baselines.feature_store import stored_features  # noqa: E402
from speech_emotion.evaluation.paper_baselines import KIND  # noqa: E402

PLAIN = {
    "knn": lambda seed: KNeighborsClassifier(),
    "mlp": lambda seed: MLPClassifier(max_iter=1000, random_state=seed),
    "xgb": lambda seed: XGBClassifier(random_state=seed),
    "lightgbm": lambda seed: LGBMClassifier(random_state=seed, verbosity=-1),
    "logistic_regression": lambda seed: LogisticRegression(max_iter=1000, random_state=seed),
    "random_forest": lambda seed: RandomForestClassifier(random_state=seed),
    "gaussian_nb": lambda seed: GaussianNB(),
    "decision_tree": lambda seed: DecisionTreeClassifier(random_state=seed),
}
"""The classifiers, with the settings of the baselines."""


def main() -> None:
    """Measure and write the figures as JSON."""
    parser = make_parser(__doc__, __file__)
    parser.add_argument("--data", required=True, help="folder of a built corpus")
    parser.add_argument(
        "--cache", default="runs/cache", help="folder of cached features (%(default)s)"
    )
    parser.add_argument(
        "--table",
        type=Path,
        default=ROOT / "results" / "table6.json",
        help="results file of table6 (%(default)s)",
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of the script (0 1 2)"
    )
    arguments = parser.parse_args()
    table = json.loads(arguments.table.read_text(encoding="utf-8"))["rows"]
    ours = {
        (one["config"], one["protocol"]): one["scores"]["ua"]
        for one in table
        if one["kind"] == KIND and "scores" in one
    }
    results = []
    for protocol in ("speaker_disjoint", "paper"):
        splits = {name: _features(arguments, protocol, name) for name in ("train", "test")}
        for name in PLAIN:
            if (name, protocol) not in ours:
                continue
            plain = [_unweighted_accuracy(name, seed, splits) for seed in arguments.seeds]
            # The keys keep their names, so that docs/benchmarks.md shows older files too.
            facts = {"row": name, "protocol": protocol, "ua": ours[name, protocol]}
            results.append(facts | {"bare_ua": plain})
            print(results[-1])
    figures = {
        "what": "baselines of Table 6 beside a plain scikit-learn script, UA on test",
        "seeds": arguments.seeds,
        "rows": results,
    }
    write_figures(arguments.json, figures)


def _features(
    arguments: argparse.Namespace, protocol: str, name: str
) -> tuple[np.ndarray, np.ndarray]:
    part = open_corpus(arguments.data, protocol)[name].cast_column("audio", Audio(decode=False))
    clips = stored_features(part, arguments.cache, what=f"{name}, {protocol}")
    return np.stack(clips.values), np.asarray(clips.labels)


def _unweighted_accuracy(
    name: str, seed: int, splits: dict[str, tuple[np.ndarray, np.ndarray]]
) -> float:
    (train, labels), (test, truth) = splits["train"], splits["test"]
    scaler = StandardScaler().fit(train)
    classifier = PLAIN[name](seed).fit(scaler.transform(train), labels)
    return float(balanced_accuracy_score(truth, classifier.predict(scaler.transform(test))))


if __name__ == "__main__":
    main()
