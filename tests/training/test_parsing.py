"""The configuration parser: YAML, options, old names, help, and what is refused."""

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

import train
from recipes.mini.distill import DistillConfig
from recipes.mini.text_stage import TextConfig
from speech_emotion.training.baseline_config import CONFIGS, family_of
from speech_emotion.training.config import TrainConfig
from speech_emotion.training.parsing import OLD_NAMES, ConfigError, parse_config, read_config
from tests.helpers.training_runs import ROOT

KINDS = [TrainConfig, *CONFIGS.values(), DistillConfig, TextConfig]


@pytest.fixture
def parse(tmp_path):
    """Parse a YAML text and further arguments."""

    def parse(text: str, *arguments: str, kind: type = TrainConfig):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        given = ["--config", str(path), "--data", "corpus", "--output-dir", "model", *arguments]
        return parse_config(kind, given, program="program", description="What it does.")

    return parse


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_has_help(kind, capsys):
    for item in fields(kind):
        assert len(item.metadata["help"]) > 8, item.name
    with pytest.raises(SystemExit) as ended:
        parse_config(kind, ["--help"], program="program", description="What it does.")
    printed = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert "What it does." in printed and "--config FILE YAML file" in printed
    for item in fields(kind):
        assert f"--{item.name}" in printed
    shown = {word.strip("[],") for word in printed.split() if word.startswith(("--", "[--"))}
    old = {f"--{name}" for name in OLD_NAMES}
    assert not shown & old


def test_the_command_line_wins_over_the_file_and_the_file_over_the_defaults(parse):
    config = parse("num_train_epochs: 2\nseed: 5\nresume: true\n", "--num-train-epochs", "9")
    assert (config.num_train_epochs, config.seed) == (9, 5)
    assert config.per_device_train_batch_size == 4 and config.resume is True
    assert (config.data, config.output_dir) == ("corpus", "model")
    assert parse("resume: true", "--no-resume").resume is False
    assert parse("resume: true", "--resume", "false").resume is False
    assert parse("", "--resume").resume is True


def test_options_are_written_with_hyphens_or_underscores(parse):
    assert parse("", "--num-train-epochs", "2") == parse("", "--num_train_epochs=2")


def test_old_names_are_read(parse, tmp_path):
    old = """
        {epochs: 2, batch_size: 3, eval_batch_size: 5, accumulation: 1, tracker: tensorboard,
         standalone: true, label_smoothing: 0.1, push_to_hub: you/model, private: true}
    """
    new = TrainConfig(
        data="corpus",
        output_dir="model",
        num_train_epochs=2,
        per_device_train_batch_size=3,
        per_device_eval_batch_size=5,
        gradient_accumulation_steps=1,
        report_to="tensorboard",
        stock_checkpoint=True,
        label_smoothing_factor=0.1,
        push_to_hub=True,
        hub_model_id="you/model",
        hub_private_repo=True,
    )
    assert parse(old) == new
    options = "--epochs 2 --batch-size 3 --eval_batch_size 5 --accumulation=1 --tracker tensorboard"
    options += " --standalone --label-smoothing 0.1 --push-to-hub you/model --private"
    assert parse("", *options.split()) == new
    assert parse(old, "--no-standalone", "--out", "there").output_dir == "there"
    assert parse(old, "--no-standalone").stock_checkpoint is False
    steps = parse("steps: 3\nsave_every: 2", kind=DistillConfig)
    assert (steps.max_steps, steps.save_steps) == (3, 2)


def test_limit_is_an_option_and_null_in_the_file(parse):
    assert parse("limit: null\n").limit is None
    assert parse("limit: null\n", "--limit", "7").limit == 7


@pytest.mark.parametrize("text", ["5e-5", "5.0e-5", "'0.00005'", "0.00005"])
def test_a_learning_rate_is_a_number_however_yaml_reads_it(parse, text):
    assert parse(f"learning_rate: {text}\n").learning_rate == 5e-5


def test_an_integer_is_a_float_where_one_is_wanted(parse):
    seconds = parse("max_seconds: 4\n").max_seconds
    assert seconds == 4.0 and isinstance(seconds, float)


def test_dicts_and_lists_keep_their_types(parse):
    text = "model: {text_dropout: 0.000001, layers: [1, 2]}\ncorpus_weights: {tess: 0.1}\n"
    config = parse(text, "--freeze", "text_model", "--tokenizer", "{vocab_size: 3}")
    assert config.model == {"text_dropout": 1e-6, "layers": [1, 2]}
    assert config.corpus_weights == {"tess": 0.1} and config.freeze == ["text_model"]
    assert config.tokenizer == {"vocab_size": 3}
    assert parse("speeds: [0.9, 1]\nlayers: [0, 2]", kind=DistillConfig).speeds == [0.9, 1.0]


def test_folds_are_cut_from_the_natural_configuration(parse):
    assert parse("fold: 1").protocol == "natural"
    config = parse("", "--folds", "2,0", "--corpora", "tess", "ravdess")
    assert (config.protocol, config.fold_numbers()) == ("natural", [0, 2])
    assert config.corpora == ["tess", "ravdess"]
    assert parse("folds: all").fold_numbers() is None


def test_an_empty_file_gives_the_defaults(parse):
    assert parse("") == TrainConfig(data="corpus", output_dir="model")


def test_a_file_inherits_from_its_base(parse, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "first.yaml").write_text("seed: 1\nmodel: {a: 1, b: 2}\npatience: 3\n")
    (tmp_path / "second.yaml").write_text("base: deep/first.yaml\nseed: 2\nepochs: 4\n")
    config = parse("base: second.yaml\nmodel: {c: 3}\nfreeze: []\n", "--patience", "5")
    assert (config.seed, config.num_train_epochs, config.patience) == (2, 4, 5)
    assert config.model == {"c": 3}  # a key replaces that of the base


@pytest.mark.parametrize("base", ["config.yaml", "other.yaml"])
def test_a_base_that_cannot_be_read_is_refused(parse, tmp_path, base):
    message = "is its own base" if base == "config.yaml" else "cannot be read"
    with pytest.raises(ConfigError, match=message):
        parse(f"base: {base}")


def test_variables_are_expanded(parse, monkeypatch):
    monkeypatch.setenv("WHERE", "/somewhere")
    monkeypatch.delenv("NOWHERE", raising=False)
    text = 'model: {audio_config: "${WHERE}/hubert", text_config: "${NOWHERE:-you/bert}"}\n'
    text += 'freeze: ["${WHERE}"]\n'
    config = parse(text)
    assert config.model == {"audio_config": "/somewhere/hubert", "text_config": "you/bert"}
    assert config.freeze == ["/somewhere"]
    with pytest.raises(ConfigError, match=r"config.yaml: needs the variable NOWHERE"):
        parse('feature_cache: "${NOWHERE}/vectors"')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 3", "unknown key epoch"),
        ("3: 3", "unknown key 3"),
        ("num_train_epochs: three", "invalid int value: 'three'"),
        ("num_train_epochs: 2.5", "invalid int value: '2.5'"),
        ("num_train_epochs: true", "invalid int value: 'True'"),
        ("num_train_epochs: null", "invalid int value: 'None'"),
        ("num_train_epochs: [3]", "num_train_epochs must be one value"),
        ("learning_rate: fast", "invalid float value: 'fast'"),
        ("learning_rate: true", "invalid float value: 'True'"),
        ("resume: 1", "resume must be true or false, not 1"),
        ("model: [1]", "model must have keys and values"),
        ("freeze: text_model", "freeze must be a list"),
        ("- epochs", "expected keys and values"),
        ("epochs: [1", "not YAML"),
        ("num_train_epochs: 0", "num_train_epochs must be at least 1, not 0"),
        ("learning_rate: 0.0", "learning_rate must be positive"),
        ("learning_rate: .nan", "learning_rate must not be negative, not nan"),
        ("max_seconds: 0", "max_seconds must be positive"),
        ("seed: -1", "seed must not be negative"),
        ("warmup_steps: -5", "warmup_steps must not be negative"),
        ("protocol: random", "protocol: invalid choice: 'random'"),
        ("validation: some", "validation: invalid choice: 'some'"),
        ("unfreeze: all", "unfreeze: invalid choice: 'all'"),
        ("class_weights: heavy", "invalid choice: 'heavy'"),
        ("report_to: wall", "invalid choice: 'wall'"),
        ("label_smoothing_factor: 1.0", "label_smoothing_factor must be 0 to below 1, not 1.0"),
        ("patience: -1", "patience must not be negative"),
        ("{patience: 2, validation: none}", "patience needs validation clips"),
        ("speed_copies: [0.9, 0]", "speed_copies must be positive"),
        ("augment_copies: 2", "augment_copies needs augment or poor_recordings"),
        ("poor_recordings: 1.5", "poor_recordings must be 0 to 1"),
        ("{batch_seconds: 4.0, max_seconds: 5.0}", "batch_seconds must be at least max_seconds"),
        ("fold_corpus: tess", "fold_corpus needs fold or folds"),
        ("{fold: 0, folds: all}", "fold names one fold and folds several"),
        ("folds: some", "folds must be all or numbers, not 'some'"),
        ("{fold: 0, protocol: paper}", "folds are cut by speaker"),
        ("mixed_precision: int8", "invalid choice: 'int8'"),
        ("save_dtype: float64", "invalid choice: 'float64'"),
    ],
)
def test_a_config_that_cannot_be_used_is_refused_in_one_line(parse, text, message):
    with pytest.raises(ConfigError) as refused:
        parse(text)
    assert message in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocol": "random"}, "protocol must be speaker_disjoint or paper or natural"),
        ({"unfreeze": "all"}, "unfreeze must be head or top2_conv or partial or entire"),
        ({"mixed_precision": "int8"}, "mixed_precision must be no or bf16 or fp16 or auto"),
    ],
)
def test_a_wrong_choice_is_refused_in_python_as_well(settings, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layers: []", "layers must name teacher layers"),
        ("layers: [-1]", "layers must name teacher layers"),
        ("layers: [first]", "invalid int value: 'first'"),
        ("speeds: [0.0]", "speeds must be positive numbers"),
        ("speeds: [fast]", "invalid float value: 'fast'"),
        ("max_steps: 0", "max_steps must be at least 1"),
        ("seed: -1", "seed must not be negative"),
    ],
)
def test_a_distillation_that_cannot_be_done_is_refused(parse, text, message):
    with pytest.raises(ConfigError, match=message):
        parse(text, kind=DistillConfig)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epoch", "3"], "unknown option --epoch 3"),
        (["--num-train-epochs", "three"], "invalid int value: 'three'"),
        (["--num-train-epochs"], "expected one argument"),
        (["--seed", "-1"], "seed must not be negative"),
        (["--model", "3"], "argument --model: invalid"),
        (["stray"], "unknown option stray"),
    ],
)
def test_a_wrong_command_line_is_one_line(refusal, arguments, message):
    given = ["--data", "corpus", "--output-dir", "model", *arguments]
    assert message in refusal(train.main, given)


def test_a_file_that_is_no_text_is_refused(tmp_path, refusal):
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xff\xfe\x00\x81")
    assert f"{path}: not YAML" in refusal(train.main, ["--config", str(path)])


def test_a_missing_file_is_refused(tmp_path, refusal):
    path = str(tmp_path / "nowhere.yaml")
    assert f"{path}: cannot be read (No such file" in refusal(train.main, ["--config", path])


@pytest.mark.parametrize("given", ["data", "output_dir"])
def test_data_and_an_output_folder_are_needed(refusal, given):
    needed = {"data": "output_dir", "output_dir": "data"}[given]
    assert refusal(train.main, [f"--{given}", "x"]) == f"train.py: --{needed} is needed"


def shipped() -> list[Path]:
    return [*(ROOT / "configs").glob("*.yaml"), *(ROOT / "recipes" / "mini").glob("*.yaml")]


@pytest.mark.parametrize("path", shipped(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_config_that_is_shipped_can_be_read_anywhere(path, monkeypatch):
    """With today's names, and without a path of one machine."""
    for name in ("SPEECH_TESS", "SPEECH_FREE", "SPEECH_NEMO"):
        monkeypatch.setenv(name, name.lower())
    text = path.read_text()
    assert not set(yaml.safe_load(text)) & set(OLD_NAMES)
    assert "../" not in text and "/home" not in text and "~" not in text
    family = read_config(path).get("family")
    recipes = dict.fromkeys(("distill", "robust", "deepen", "voices"), DistillConfig)
    recipes |= dict.fromkeys(("text_teacher", "text"), TextConfig)
    kind = CONFIGS[family] if family else recipes.get(path.stem, TrainConfig)
    given = ["--config", str(path), "--data", "corpus", "--output-dir", "model"]
    assert family_of(given) == family
    assert isinstance(parse_config(kind, given, program="program", description=""), kind)


@pytest.mark.parametrize(
    ("settings", "folder"),
    [({}, "runs/all"), ({"fold": 3}, "runs/3"), ({"folds": "all"}, "runs/{fold}")],
)
def test_each_fold_may_have_an_encoder_of_its_own(settings, folder):
    model = {"audio_config": "runs/{fold}", "text_config": {"model_type": "bert"}}
    assert TrainConfig(model=model, **settings).model == {**model, "audio_config": folder}
