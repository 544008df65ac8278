"""The eight classifiers of Table 6 on the 94 features, and the grid search on KNN."""

import importlib
import io
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from hub_model.labels import EMOTIONS
from speech_emotion.baselines import BaselineError
from speech_emotion.baselines.features import (
    FEATURE_NAMES,
    FEATURE_VERSION,
    clip_features,
    one_thread,
)
from speech_emotion.metrics import ua_plus_wa

CLASSIFIERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "knn": ("sklearn.neighbors", "KNeighborsClassifier", {}),
    "mlp": ("sklearn.neural_network", "MLPClassifier", {"max_iter": 1000}),
    "xgb": ("xgboost", "XGBClassifier", {"verbosity": 0, "n_jobs": 1}),
    "lightgbm": ("lightgbm", "LGBMClassifier", {"verbosity": -1, "deterministic": True}),
    "logistic_regression": ("sklearn.linear_model", "LogisticRegression", {"max_iter": 1000}),
    "random_forest": ("sklearn.ensemble", "RandomForestClassifier", {}),
    "gaussian_nb": ("sklearn.naive_bayes", "GaussianNB", {}),
    "decision_tree": ("sklearn.tree", "DecisionTreeClassifier", {}),
}
"""Name -> module, class, and the arguments that differ from the library's defaults."""

SCALER_FILE = "scaler.skops"
WEIGHTS = {"xgb": "classifier.json", "lightgbm": "classifier.txt"}
"""Weights of libraries with their own text format; the others are ``classifier.skops``."""

TRUSTED = {
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
}
"""Types trusted besides those that skops trusts by default; a file with any other is refused."""


def new_classifier(name: str, *, seed: int, params: dict[str, Any] | None = None) -> Pipeline:
    """An unfitted classifier behind a scaler.

    The scaler is fitted with it, so it sees only training clips, also in a cross-validation.

    Args:
        name: a key of :data:`CLASSIFIERS`.
        seed: of the classifiers that draw anything.
        params: arguments of the classifier.

    Raises:
        BaselineError: no such classifier or argument.
    """
    estimator = _estimator(name)
    seeded = {"random_state": seed} if "random_state" in estimator.get_params() else {}
    _refuse_unknown(estimator, params or {})
    estimator.set_params(**CLASSIFIERS[name][2] | seeded | (params or {}))
    return Pipeline([("scaler", StandardScaler()), ("classifier", estimator)])


def _estimator(name: str) -> BaseEstimator:
    """Create the classifier; its library is imported here and not before."""
    if name not in CLASSIFIERS:
        raise BaselineError(f"classifier {name!r} is not known, but {', '.join(CLASSIFIERS)} are")
    module, kind, _ = CLASSIFIERS[name]
    return getattr(_library(module), kind)()


def _library(name: str) -> Any:
    """Import a library of classifiers; those of boosted trees come with an extra."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise BaselineError(
            f'{name} is not installed; run pip install "speech-text-emotion[baselines]"'
        ) from error


def _refuse_unknown(estimator: BaseEstimator, params: Iterable[str]) -> None:
    unknown = [str(name) for name in params if name not in estimator.get_params()]
    if unknown:
        raise BaselineError(f"{type(estimator).__name__} has no parameter {', '.join(unknown)}")


SCHEMA = "schema.json"
_PART = re.compile(r'(?<="__id__": )\d+|(?<=": ")\d+(?=\.np[yz]")')
"""Memory addresses in the schema of a skops file: of objects, and in names of arrays."""


@dataclass(frozen=True, kw_only=True)
class ClassicalBaseline:
    """A fitted classifier and the emotions it was trained on; see :class:`baselines.Baseline`.

    Attributes:
        config: its config.json.
        scaler: fitted on the training clips.
        classifier: predicts positions in ``classes``.
        classes: ids of the emotions with training clips.
    """

    config: dict[str, Any]
    scaler: Any
    classifier: Any
    classes: tuple[int, ...]

    @one_thread
    def predict_proba(self, waveforms: list[np.ndarray]) -> np.ndarray:
        """Probabilities of the seven emotions, float64 (num_waveforms, 7)."""
        return self.from_features(np.stack([clip_features(waveform) for waveform in waveforms]))

    @one_thread
    def from_features(self, features: np.ndarray) -> np.ndarray:
        """The same for float32 (num_clips, 94), see :func:`.features.clip_features`."""
        found = self.classifier.predict_proba(self.scaler.transform(features)).astype(np.float64)
        probabilities = np.zeros((len(features), len(EMOTIONS)))
        # GaussianNB and xgboost compute in single precision, where a sum is not exactly 1.
        probabilities[:, self.classes] = found / found.sum(axis=1, keepdims=True)
        return probabilities


@one_thread
def fit(
    features: np.ndarray,
    labels: np.ndarray,
    speakers: np.ndarray,
    *,
    classifier: str,
    params: dict[str, Any] | None = None,
    grid: dict[str, list[Any]] | None = None,
    folds: int = 5,
    protocol: str = "speaker_disjoint",
    seed: int = 0,
) -> tuple[ClassicalBaseline, dict[str, Any]]:
    """Fit a classifier, after a grid search if there is a grid.

    Args:
        features: float32 (num_clips, 94).
        labels: int (num_clips,), emotion ids.
        speakers: str (num_clips,), for the folds of a grid search.
        classifier: a key of :data:`CLASSIFIERS`.
        params: arguments of the classifier.
        grid: values to try for each argument; the best are fitted on all clips.
        folds: number of folds of the grid search.
        protocol: ``speaker_disjoint`` keeps each speaker in one fold; ``paper`` stratifies.
        seed: seed of the classifier and of stratified folds.

    Returns:
        The baseline, its ``config`` still without a training record; and the results of the grid
        search, empty without one.

    Raises:
        BaselineError: the classifier does not take its parameters.
    """
    classes, positions = np.unique(labels, return_inverse=True)
    pipeline = new_classifier(classifier, seed=seed, params=params)
    search: dict[str, Any] = {}
    try:
        if grid:
            _refuse_unknown(pipeline["classifier"], grid)
            if protocol == "paper":
                cutter = StratifiedKFold(folds, shuffle=True, random_state=seed)
                splits = cutter.split(features, positions)
            else:
                splits = GroupKFold(folds).split(features, positions, groups=speakers)
            pipeline, search = _grid_search(pipeline, grid, list(splits), features, positions)
            kind = "stratified" if protocol == "paper" else "by speaker"
            search = {"folds": f"{folds}, {kind}", **search}
        else:
            pipeline.fit(features, positions)
    except BaselineError:
        raise
    except (ValueError, TypeError) as error:  # the libraries' errors for a wrong parameter
        raise BaselineError(f"{classifier}: {str(error).splitlines()[0]}") from error
    description = {
        "family": "classical",
        "classifier": classifier,
        "params": (params or {}) | search.get("best_params", {}),
        "feature_version": FEATURE_VERSION,
        "features": list(FEATURE_NAMES),
        "labels": list(EMOTIONS),
        "classes": classes.tolist(),
    }
    baseline = ClassicalBaseline(
        config=description,
        scaler=pipeline["scaler"],
        classifier=pipeline["classifier"],
        classes=tuple(description["classes"]),
    )
    return baseline, search


def _grid_search(
    pipeline: Pipeline,
    grid: dict[str, list[Any]],
    splits: list[tuple[np.ndarray, np.ndarray]],
    features: np.ndarray,
    labels: np.ndarray,
) -> tuple[Pipeline, dict[str, Any]]:
    """Cross-validate every combination by UA + WA and fit the best one on all clips."""
    search = GridSearchCV(
        pipeline,
        {f"classifier__{name}": values for name, values in grid.items()},
        scoring=make_scorer(ua_plus_wa),
        cv=splits,
        error_score="raise",
    )
    search.fit(features, labels)
    scores = [
        {**_plain(params), "ua_plus_wa": float(mean), "deviation": float(deviation)}
        for params, mean, deviation in zip(
            search.cv_results_["params"],
            search.cv_results_["mean_test_score"],
            search.cv_results_["std_test_score"],
            strict=True,
        )
    ]
    return search.best_estimator_, {"best_params": _plain(search.best_params_), "scores": scores}


def _plain(params: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("classifier__"): value for name, value in params.items()}


def save(baseline: ClassicalBaseline, folder: Path) -> None:
    """Write scaler and classifier without pickle: skops, or the library's own text format."""
    _dump_skops(baseline.scaler, folder / SCALER_FILE)
    name = baseline.config["classifier"]
    file = folder / WEIGHTS.get(name, "classifier.skops")
    if name == "xgb":
        baseline.classifier.save_model(file)
    elif name == "lightgbm":
        baseline.classifier.booster_.save_model(file)
    else:
        _dump_skops(baseline.classifier, file)


def _dump_skops(fitted: BaseEstimator, file: Path) -> None:
    """Write a skops file whose bytes depend only on the fitted estimator.

    skops names the parts by their memory addresses and adds the time; here they are numbered in
    order, so that the same baseline has the same hash.
    """
    import skops.io  # slow: it looks at all of scikit-learn and SciPy

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(fitted))) as made:
        parts = {name: made.read(name) for name in made.namelist()}
    schema = parts.pop(SCHEMA).decode()
    found = dict.fromkeys(_PART.findall(schema))
    numbers = {address: str(number) for number, address in enumerate(found, start=1)}
    schema = _PART.sub(lambda match: numbers[match[0]], schema)
    with zipfile.ZipFile(file, "w") as written:
        for name, content in {**parts, SCHEMA: schema.encode()}.items():
            stem, dot, ending = name.partition(".")
            name = numbers.get(stem, stem) + dot + ending
            written.writestr(zipfile.ZipInfo(name), content)  # its date is the first of 1980


def load(folder: Path, config: dict[str, Any]) -> ClassicalBaseline:
    """Load a saved baseline; see :func:`baselines.load`."""
    check_feature_version(folder, config)
    name = config["classifier"]
    file = folder / WEIGHTS.get(name, "classifier.skops")
    if name == "xgb":
        classifier = _estimator(name)
        classifier.load_model(file)
    elif name == "lightgbm":
        classifier = _Booster(file)
    else:
        classifier = _load_skops(file)
    return ClassicalBaseline(
        config=config,
        scaler=_load_skops(folder / SCALER_FILE),
        classifier=classifier,
        classes=tuple(config["classes"]),
    )


def check_feature_version(folder: Path, config: dict[str, Any]) -> None:
    """Refuse a baseline trained on features of another version.

    Raises:
        BaselineError: names both versions.
    """
    if config.get("feature_version") != FEATURE_VERSION:
        raise BaselineError(
            f"{folder}: trained on features of version {config.get('feature_version')}, this code "
            f"makes version {FEATURE_VERSION}; train it again"
        )


def _load_skops(file: Path) -> Any:
    import skops.io

    unknown = set(skops.io.get_untrusted_types(file=file)) - TRUSTED
    if unknown:
        raise BaselineError(f"{file}: holds types that are not trusted: {', '.join(unknown)}")
    return skops.io.load(file, trusted=sorted(TRUSTED))


class _Booster:
    """LightGBM loads its files as a ``Booster``, which has no ``predict_proba``."""

    def __init__(self, file: Path) -> None:
        self.booster = _library("lightgbm").Booster(model_file=file)

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        found = np.asarray(self.booster.predict(features))
        # For two classes it gives only the probability of the second.
        return found if found.ndim == 2 else np.stack([1 - found, found], axis=1)
