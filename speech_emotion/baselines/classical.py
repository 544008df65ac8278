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
import skops.io
from sklearn.base import BaseEstimator
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from hub_model.labels import EMOTIONS
from speech_emotion.baselines import BaselineError
from speech_emotion.baselines.features import FEATURE_NAMES, FEATURE_VERSION, clip_features
from speech_emotion.baselines.settings import ClassicalConfig
from speech_emotion.metrics import ua_plus_wa

CLASSIFIERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "knn": ("sklearn.neighbors", "KNeighborsClassifier", {}),
    "mlp": ("sklearn.neural_network", "MLPClassifier", {"max_iter": 1000}),
    "xgb": ("xgboost", "XGBClassifier", {"verbosity": 0}),
    "lightgbm": ("lightgbm", "LGBMClassifier", {"verbosity": -1, "deterministic": True}),
    "logistic_regression": ("sklearn.linear_model", "LogisticRegression", {"max_iter": 1000}),
    "random_forest": ("sklearn.ensemble", "RandomForestClassifier", {}),
    "gaussian_nb": ("sklearn.naive_bayes", "GaussianNB", {}),
    "decision_tree": ("sklearn.tree", "DecisionTreeClassifier", {}),
}
"""Name -> module, class, and the few arguments that are not the library's own defaults."""

SCALER_FILE = "scaler.skops"
WEIGHTS = {"xgb": "classifier.json", "lightgbm": "classifier.txt"}
"""Files of the libraries with a text format of their own; the others are ``classifier.skops``."""

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
"""Types that skops does not know as safe by itself; a file with any other is refused."""


def new_classifier(name: str, *, seed: int, params: dict[str, Any] | None = None) -> Pipeline:
    """A classifier that is not fitted yet, behind a scaler that is fitted with it.

    So the scaler sees the training clips alone, in each fold of a cross-validation as well.

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
    """Import a library only when one of its classifiers is asked for."""
    if name not in CLASSIFIERS:
        raise BaselineError(f"classifier {name!r} is not known, but {', '.join(CLASSIFIERS)} are")
    module, kind, _ = CLASSIFIERS[name]
    return getattr(importlib.import_module(module), kind)()


def _refuse_unknown(estimator: BaseEstimator, params: Iterable[str]) -> None:
    unknown = [str(name) for name in params if name not in estimator.get_params()]
    if unknown:
        raise BaselineError(f"{type(estimator).__name__} has no parameter {', '.join(unknown)}")


SCHEMA = "schema.json"
_PART = re.compile(r'(?<="__id__": )\d+|(?<=": ")\d+(?=\.np[yz]")')
"""The addresses in the schema of a skops file: of objects, and in the names of arrays."""


@dataclass(frozen=True, kw_only=True)
class ClassicalRow:
    """A fitted classifier and the emotions it knows; see :class:`baselines.Row`.

    Attributes:
        config: its config.json.
        scaler: fitted on the training clips.
        classifier: its classes are positions in ``classes``.
        classes: ids of the emotions that were in train.
    """

    config: dict[str, Any]
    scaler: Any
    classifier: Any
    classes: tuple[int, ...]

    def predict_proba(self, waveforms: list[np.ndarray]) -> np.ndarray:
        """Probabilities of the seven emotions, float64 (num_waveforms, 7)."""
        return self.from_features(np.stack([clip_features(waveform) for waveform in waveforms]))

    def from_features(self, features: np.ndarray) -> np.ndarray:
        """The same for float32 (num_clips, 94) of :func:`~speech_emotion.baselines.features.clip_features`."""
        found = self.classifier.predict_proba(self.scaler.transform(features)).astype(np.float64)
        probabilities = np.zeros((len(features), len(EMOTIONS)))
        # In single precision, as GaussianNB and xgboost answer, a sum is not quite 1.
        probabilities[:, self.classes] = found / found.sum(axis=1, keepdims=True)
        return probabilities


def fit(
    config: ClassicalConfig, features: np.ndarray, labels: np.ndarray, speakers: np.ndarray
) -> tuple[ClassicalRow, dict[str, Any]]:
    """Fit what ``config`` describes.

    Args:
        features: float32 (num_clips, 94).
        labels: int (num_clips,), emotion ids.
        speakers: str (num_clips,), for the folds of a grid search.

    Returns:
        The row, its ``config`` still without a training record; and, after a grid search, what it
        found.

    Raises:
        BaselineError: the classifier does not take its parameters.
    """
    classes, positions = np.unique(labels, return_inverse=True)
    pipeline = new_classifier(config.classifier, seed=config.seed, params=config.params)
    search: dict[str, Any] = {}
    try:
        if config.grid:
            pipeline, search = _grid_search(config, pipeline, features, positions, speakers)
        else:
            pipeline.fit(features, positions)
    except BaselineError:
        raise
    except (ValueError, TypeError) as error:  # what the libraries say of a wrong parameter
        raise BaselineError(f"{config.classifier}: {str(error).splitlines()[0]}") from error
    description = {
        "family": "classical",
        "classifier": config.classifier,
        "params": config.params | search.get("best_params", {}),
        "feature_version": FEATURE_VERSION,
        "features": list(FEATURE_NAMES),
        "labels": list(EMOTIONS),
        "classes": classes.tolist(),
    }
    row = ClassicalRow(
        config=description,
        scaler=pipeline["scaler"],
        classifier=pipeline["classifier"],
        classes=tuple(description["classes"]),
    )
    return row, search


def _grid_search(
    config: ClassicalConfig,
    pipeline: Pipeline,
    features: np.ndarray,
    labels: np.ndarray,
    speakers: np.ndarray,
) -> tuple[Pipeline, dict[str, Any]]:
    """Cross-validation by UA + WA; under ``speaker_disjoint`` no speaker is in two folds."""
    _refuse_unknown(pipeline["classifier"], config.grid)
    if config.protocol == "paper":
        folds = StratifiedKFold(config.folds, shuffle=True, random_state=config.seed)
        splits = folds.split(features, labels)
    else:
        splits = GroupKFold(config.folds).split(features, labels, groups=speakers)
    search = GridSearchCV(
        pipeline,
        {f"classifier__{name}": values for name, values in config.grid.items()},
        scoring=make_scorer(ua_plus_wa),
        cv=list(splits),
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
    found = {
        "folds": f"{config.folds}, {'stratified' if config.protocol == 'paper' else 'by speaker'}",
        "best_params": _plain(search.best_params_),
        "scores": scores,
    }
    return search.best_estimator_, found


def _plain(params: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("classifier__"): value for name, value in params.items()}


def save(row: ClassicalRow, folder: Path) -> None:
    """Write scaler and classifier without pickle: skops, or the library's own text."""
    _dump_skops(row.scaler, folder / SCALER_FILE)
    name = row.config["classifier"]
    file = folder / WEIGHTS.get(name, "classifier.skops")
    if name == "xgb":
        row.classifier.save_model(file)
    elif name == "lightgbm":
        row.classifier.booster_.save_model(file)
    else:
        _dump_skops(row.classifier, file)


def _dump_skops(fitted: BaseEstimator, file: Path) -> None:
    """Write a skops file whose bytes depend on nothing but what was fitted.

    skops names the parts after their addresses in memory and stamps them with the time; here they
    are numbered in order, so that the same row has the same hash.
    """
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


def load(folder: Path, config: dict[str, Any]) -> ClassicalRow:
    """Open a saved row; see :func:`baselines.load`."""
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
    return ClassicalRow(
        config=config,
        scaler=_load_skops(folder / SCALER_FILE),
        classifier=classifier,
        classes=tuple(config["classes"]),
    )


def check_feature_version(folder: Path, config: dict[str, Any]) -> None:
    """Refuse a row that learnt from features that this code no longer makes.

    Raises:
        BaselineError: names both versions.
    """
    if config.get("feature_version") != FEATURE_VERSION:
        raise BaselineError(
            f"{folder}: trained on features of version {config.get('feature_version')}, this code "
            f"makes version {FEATURE_VERSION}; train it again"
        )


def _load_skops(file: Path) -> Any:
    unknown = set(skops.io.get_untrusted_types(file=file)) - TRUSTED
    if unknown:
        raise BaselineError(f"{file}: holds types that are not trusted: {', '.join(unknown)}")
    return skops.io.load(file, trusted=sorted(TRUSTED))


class _Booster:
    """LightGBM reads its own files as a bare booster, which has no ``predict_proba``."""

    def __init__(self, file: Path) -> None:
        import lightgbm

        self.booster = lightgbm.Booster(model_file=file)

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        found = self.booster.predict(features)
        # Of two classes it tells the chance of the second alone.
        return found if found.ndim == 2 else np.stack([1 - found, found], axis=1)
