"""The eight classifiers beside bare scripts, and the grid search."""

import argparse

import lightgbm
import numpy as np
import pytest
import skops.io
import xgboost
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from speech_emotion import baselines
from speech_emotion.baselines import BaselineError
from speech_emotion.baselines.classical import CLASSIFIERS, fit, load, save

SEED = 3
SMALL = {"xgb": {"n_estimators": 5}, "lightgbm": {"n_estimators": 5}}
SMALL |= {"random_forest": {"n_estimators": 20}, "mlp": {"max_iter": 300}}
BARE = {
    "knn": lambda: KNeighborsClassifier(),
    "mlp": lambda: MLPClassifier(random_state=SEED, max_iter=300),
    "xgb": lambda: xgboost.XGBClassifier(n_estimators=5, random_state=SEED),
    "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=5, random_state=SEED, verbosity=-1),
    "logistic_regression": lambda: LogisticRegression(max_iter=1000, random_state=SEED),
    "random_forest": lambda: RandomForestClassifier(20, random_state=SEED),
    "gaussian_nb": lambda: GaussianNB(),
    "decision_tree": lambda: DecisionTreeClassifier(random_state=SEED),
}


def made(count: int, seed: int, classes: tuple[int, ...] = tuple(range(7))):
    """Features with a centre of their own for each class, far from standardised; labels."""
    rng = np.random.default_rng(seed)
    labels = np.resize(classes, count)
    centres = np.random.default_rng(99).normal(0, 1, (7, 94))
    features = (centres[labels] + rng.normal(0, 2, (count, 94))) * 50 + 1000
    return features.astype(np.float32), labels


def fitted(name: str, features, labels, speakers, **settings):
    """Fit with few parameters; returns the baseline and the results of a grid search."""
    given = {"classifier": name, "seed": SEED, "params": SMALL.get(name, {})} | settings
    return fit(features, labels, speakers, **given)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_baseline_is_what_a_bare_script_gives_and_survives_saving(name, tmp_path):
    (x, y), (unseen, truth) = made(140, 0), made(70, 1)
    baseline, _ = fitted(name, x, y, np.repeat("a", len(y)))
    found = baseline.from_features(unseen)
    assert found.shape == (70, 7) and found.dtype == np.float64
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)

    scaler = StandardScaler().fit(x)
    bare = BARE[name]().fit(scaler.transform(x), y)
    np.testing.assert_allclose(found, bare.predict_proba(scaler.transform(unseen)), atol=1e-4)
    assert np.mean(found.argmax(axis=1) == truth) > 0.25  # chance is a seventh

    save(baseline, tmp_path)
    assert not list(tmp_path.glob("*.pkl"))
    np.testing.assert_allclose(
        load(tmp_path, baseline.config).from_features(unseen), found, atol=1e-12
    )

    (tmp_path / "again").mkdir()
    save(fitted(name, x, y, np.repeat("a", len(y)))[0], tmp_path / "again")
    for file in (tmp_path / "again").iterdir():
        assert file.read_bytes() == (tmp_path / file.name).read_bytes()


def test_the_classifiers_of_table_6():
    """Each with its library's defaults, but for what keeps it quiet or lets it converge."""
    found = {name: (kind, settings) for name, (_, kind, settings) in CLASSIFIERS.items()}
    assert found == {
        "knn": ("KNeighborsClassifier", {}),
        "mlp": ("MLPClassifier", {"max_iter": 1000}),
        "xgb": ("XGBClassifier", {"verbosity": 0, "n_jobs": 1}),
        "lightgbm": ("LGBMClassifier", {"verbosity": -1, "deterministic": True}),
        "logistic_regression": ("LogisticRegression", {"max_iter": 1000}),
        "random_forest": ("RandomForestClassifier", {}),
        "gaussian_nb": ("GaussianNB", {}),
        "decision_tree": ("DecisionTreeClassifier", {}),
    }


def test_the_scaler_knows_the_training_clips_alone():
    x, y = made(70, 0)
    baseline, _ = fitted("knn", x, y, np.repeat("a", len(y)))
    np.testing.assert_allclose(baseline.scaler.mean_, x.mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_an_emotion_without_training_clips_is_never_answered(name, tmp_path):
    x, y = made(60, 0, classes=(0, 5))
    baseline, _ = fitted(name, x, y, np.repeat("a", len(y)))
    save(baseline, tmp_path)
    found = load(tmp_path, baseline.config).from_features(made(30, 1)[0])
    assert (found[:, [1, 2, 3, 4, 6]] == 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(found, baseline.from_features(made(30, 1)[0]), atol=1e-12)


def identified_by_speaker():
    """Clips that tell who speaks; each speaker has one emotion: a lure for neighbours."""
    rng = np.random.default_rng(0)
    speakers = np.repeat(np.arange(21), 10)
    voices = rng.normal(0, 10, (21, 94))
    features = (voices[speakers] + rng.normal(0, 0.1, (210, 94))).astype(np.float32)
    return features, speakers % 7, speakers.astype(str)


def test_folds_keep_speakers_together_only_when_speakers_are_disjoint():
    grid = {"n_neighbors": [1, 3]}
    _, disjoint = fitted("knn", *identified_by_speaker(), grid=grid, folds=3)
    _, mixed = fitted("knn", *identified_by_speaker(), grid=grid, folds=3, protocol="paper")
    assert max(score["ua_plus_wa"] for score in disjoint["scores"]) < 1.0
    assert max(score["ua_plus_wa"] for score in mixed["scores"]) == pytest.approx(2.0)
    assert "by speaker" in disjoint["folds"] and "stratified" in mixed["folds"]


def test_the_best_parameters_are_fitted_on_all_of_train():
    x, y = made(140, 0)
    speakers = np.resize([f"s{n}" for n in range(10)], len(y))
    grid = {"n_neighbors": [1, 9], "p": [1, 2]}
    baseline, search = fitted("knn", x, y, speakers, grid=grid, folds=5)
    best = max(search["scores"], key=lambda score: score["ua_plus_wa"])
    assert {name: best[name] for name in grid} == search["best_params"] == baseline.config["params"]
    assert len(search["scores"]) == 4 and baseline.classifier.n_samples_fit_ == len(y)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"classifier": "svm"}, "classifier 'svm' is not known, but knn"),
        ({"params": {"neighbours": 3}}, "KNeighborsClassifier has no parameter neighbours"),
        ({"grid": {"neighbours": [3]}}, "KNeighborsClassifier has no parameter neighbours"),
        ({"params": {"n_neighbors": -1}}, "knn: The 'n_neighbors' parameter"),
        (
            {"grid": {"n_neighbors": [3]}, "folds": 50},
            "knn: Cannot have number of splits n_splits=50",
        ),
    ],
)
def test_a_wrong_parameter_is_one_line(settings, line):
    x, y = made(28, 0)
    with pytest.raises(BaselineError) as error:
        fit(x, y, np.resize(["a", "b"], 28), **{"classifier": "knn"} | settings)
    assert str(error.value).startswith(line) and "\n" not in str(error.value)


def test_a_file_with_types_of_its_own_is_refused(train):
    folder, _ = train("classical", classifier="knn")
    skops.io.dump(argparse.Namespace(a=1), folder / "classifier.skops")
    with pytest.raises(BaselineError, match="types that are not trusted: argparse.Namespace"):
        baselines.load(folder)


def test_another_safe_type_in_its_place_is_no_traceback(train):
    folder, _ = train("classical", classifier="xgb", params={"n_estimators": 2})
    (folder / "classifier.json").write_text("{}")
    with pytest.raises(BaselineError, match="cannot be loaded") as error:
        baselines.load(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["knn", "mlp", "xgb"])
def test_any_number_of_threads_gives_the_same_files_and_probabilities(name, tmp_path):
    features, labels = made(400, 0)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            baseline, _ = fit(
                features,
                labels,
                np.array(["one"] * len(labels)),
                classifier=name,
                params={"mlp": {"max_iter": 20}}.get(name, SMALL.get(name)),
                seed=SEED,
            )
            folder = tmp_path / str(threads)
            folder.mkdir()
            save(baseline, folder)
            files = {path.name: path.read_bytes() for path in folder.iterdir()}
            found.append((files, baseline.from_features(features).tobytes()))
    assert found[0] == found[1]
