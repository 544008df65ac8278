from pathlib import Path

import pytest

import train
from recipes.mini.distill import DistillConfig
from speech_emotion.training.config import ConfigError, TrainConfig, parse_settings

TABLE_7 = {
    "epochs": 6,
    "batch_size": 4,
    "accumulation": 4,
    "learning_rate": 5e-5,
    "weight_decay": 0.01,
    "warmup_steps": 500,
}


@pytest.fixture
def parse(tmp_path):
    """Parse a YAML text and further arguments."""

    def parse(text: str, *arguments: str, kind: type = TrainConfig):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        given = ["--config", str(path), "--data", "corpus", "--out", "model", *arguments]
        return parse_settings(kind, "program", "What it does.", given)

    return parse


def test_the_defaults_are_those_of_table_7():
    config = TrainConfig()
    assert {name: getattr(config, name) for name in TABLE_7} == TABLE_7


def test_the_command_line_wins_over_the_file_and_the_file_over_the_defaults(parse):
    config = parse("epochs: 2\nseed: 5\nresume: true\n", "--epochs", "9", "--no-resume")
    assert (config.epochs, config.seed, config.batch_size) == (9, 5, 4)
    assert config.resume is False
    assert (config.data, config.out) == ("corpus", "model")


def test_limit_is_an_option_and_null_in_the_file(parse):
    assert parse("limit: null\n").limit is None
    assert parse("limit: null\n", "--limit", "7").limit == 7


@pytest.mark.parametrize("text", ["5e-5", "5.0e-5", "'0.00005'", "0.00005"])
def test_a_learning_rate_is_a_number_however_yaml_reads_it(parse, text):
    assert parse(f"learning_rate: {text}\n").learning_rate == 5e-5


def test_an_integer_is_a_float_where_one_is_wanted(parse):
    seconds = parse("max_seconds: 4\n").max_seconds
    assert seconds == 4.0 and isinstance(seconds, float)


def test_folds_are_cut_from_the_natural_configuration(parse):
    assert parse("fold: 1").protocol == "natural"
    config = parse("", "--folds", "2,0", "--corpora", "tess", "ravdess")
    assert (config.protocol, config.fold_numbers()) == ("natural", [0, 2])
    assert config.corpora == ["tess", "ravdess"]
    assert parse("folds: all").fold_numbers() is None


def test_an_empty_file_gives_the_defaults(parse):
    assert parse("") == TrainConfig(data="corpus", out="model")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 3", "unknown key epoch"),
        ("3: 3", "unknown key 3"),
        ("epochs: three", "epochs must be int, not 'three'"),
        ("epochs: 2.5", "epochs must be int, not 2.5"),
        ("epochs: true", "epochs must be int, not True"),
        ("epochs: null", "epochs must be int, not None"),
        ("learning_rate: fast", "learning_rate must be float, not 'fast'"),
        ("learning_rate: true", "learning_rate must be float, not True"),
        ("resume: 1", "resume must be bool, not 1"),
        ("model: [1]", "model must be dict"),
        ("- epochs", "expected keys and values"),
        ("epochs: [1", "not YAML"),
        ("epochs: 0", "epochs must be at least 1, not 0"),
        ("learning_rate: 0.0", "learning_rate and max_seconds must be positive"),
        ("seed: -1", "seed must not be negative"),
        ("warmup_steps: -5", "warmup_steps must not be negative"),
        ("protocol: random", "protocol must be speaker_disjoint or paper or natural, not"),
        ("validation: some", "validation must be split or none, not 'some'"),
        ("unfreeze: all", "unfreeze must be head or top2_conv or partial or entire, not 'all'"),
        ("class_weights: heavy", "class_weights must be none or balanced, not 'heavy'"),
        ("tracker: wall", "tracker must be none or tensorboard, not 'wall'"),
        ("label_smoothing: 1.0", "label_smoothing must be 0 to below 1, not 1.0"),
        ("patience: -1", "patience must not be negative"),
        ("{patience: 2, validation: none}", "patience needs validation clips"),
        ("augment_copies: 2", "augment_copies needs augment or poor_recordings"),
        ("poor_recordings: 1.5", "poor_recordings must be 0 to 1"),
        ("{batch_seconds: 4.0, max_seconds: 5.0}", "batch_seconds must be at least max_seconds"),
        ("fold_corpus: tess", "fold_corpus needs fold or folds"),
        ("{fold: 0, folds: all}", "fold names one fold and folds several"),
        ("folds: some", "folds must be all or numbers, not 'some'"),
        ("{fold: 0, protocol: paper}", "folds are cut by speaker"),
        ("mixed_precision: int8", "mixed_precision must be no or bf16 or fp16, not 'int8'"),
        ("save_dtype: float64", "save_dtype must be float32 or float16, not 'float64'"),
    ],
)
def test_a_config_that_cannot_be_used_is_refused_in_one_line(parse, text, message):
    with pytest.raises(ConfigError) as refused:
        parse(text)
    assert message in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layers: []", "layers must name teacher layers"),
        ("layers: [-1]", "layers must name teacher layers"),
        ("layers: [first]", "layers must name teacher layers"),
        ("speeds: [0.0]", "speeds must be positive numbers"),
        ("speeds: [fast]", "speeds must be positive numbers"),
        ("steps: 0", "must be positive"),
        ("seed: -1", "seed must not be negative"),
    ],
)
def test_a_distillation_that_cannot_be_done_is_refused(parse, text, message):
    with pytest.raises(ConfigError, match=message):
        parse(text, kind=DistillConfig)


def test_a_file_that_is_no_text_is_refused(tmp_path, refusal):
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xff\xfe\x00\x81")
    assert f"{path}: not YAML" in refusal(train.main, ["--config", str(path)])


def test_a_missing_file_is_refused(tmp_path, refusal):
    path = str(tmp_path / "nowhere.yaml")
    assert f"{path}: cannot be read (No such file" in refusal(train.main, ["--config", path])


@pytest.mark.parametrize("given", ["data", "out"])
def test_data_and_out_are_needed(refusal, given):
    needed = {"data": "out", "out": "data"}[given]
    assert refusal(train.main, [f"--{given}", "x"]) == f"train.py: --{needed} is needed"


@pytest.mark.parametrize("name", ["mini", "mini_tune", "hubert", "hubert_bert"])
def test_every_config_that_is_shipped_can_be_read(name):
    file = Path(train.__file__).parent / "configs" / f"{name}.yaml"
    given = ["--config", str(file), "--data", "corpus", "--out", "model"]
    assert parse_settings(TrainConfig, "program", "What it does.", given)


def test_the_distillation_that_is_shipped_can_be_read():
    file = Path(train.__file__).parent / "configs" / "mini_distill.yaml"
    given = ["--config", str(file), "--data", "corpus", "--out", "model"]
    assert parse_settings(DistillConfig, "program", "What it does.", given)


@pytest.mark.parametrize(
    ("settings", "folder"),
    [({}, "runs/all"), ({"fold": 3}, "runs/3"), ({"folds": "all"}, "runs/{fold}")],
)
def test_each_fold_may_have_an_encoder_of_its_own(settings, folder):
    model = {"audio_config": "runs/{fold}", "text_config": {"model_type": "bert"}}
    assert TrainConfig(model=model, **settings).model == {**model, "audio_config": folder}
