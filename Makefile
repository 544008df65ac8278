# Every target installs what it needs; `make help` lists them.
# The long ones (data, mini, results) are never part of `make test`.
PYTHON ?= python3
TORCH ?= cpu
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
VENV := .venv
PY := $(VENV)/bin/python
# Modules are compiled when they are first imported: most never are.
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt
CLIP ?= examples/happy.wav
MODEL ?= checkpoints/mini
DATA ?= ../shared/data
# Without this, and with nothing compiled by pip, each process compiles torch and transformers anew.
unexport PYTHONDONTWRITEBYTECODE
OFFLINE := HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

.DEFAULT_GOAL := help
.PHONY: help install demo test lint check format checkpoint-code space push-space data fine-tuning figures speech mini mini-base mini-folds mini-scratch mini-teacher mini-unseen results screenshots

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

# CPU machines get the CPU build of torch: the default Linux build brings gigabytes of CUDA.
# The version tag +cpu is looked for where pip looks anyway, then in PyTorch's own index.
$(VENV)/torch-$(TORCH): constraints.txt
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
ifeq ($(TORCH)-$(shell uname -s),cpu-Linux)
	@echo "installing torch (CPU build; make TORCH=gpu ... for the other)"
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-compile 'torch==2.13.0+cpu' 2>/dev/null \
		|| $(PIP) --index-url $(TORCH_CPU_INDEX) torch
else
	@echo "installing torch"
	@$(PIP) torch
endif
	@rm -f $(VENV)/torch-* && touch $@

# The package is installed in editable mode: the commands run the code of this folder.
EDITABLE = $(PIP) --no-build-isolation --editable

$(VENV)/installed: $(VENV)/torch-$(TORCH) pyproject.toml constraints.txt
	@echo "installing the package"
	@$(PIP) setuptools && $(EDITABLE) .
	@touch $@

$(VENV)/installed-extras: $(VENV)/installed
	@echo "installing the extras of requirements.txt"
	@$(EDITABLE) '.[baselines,space,tracking,whisper]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed-extras
	@echo "installing the extra dev"
	@$(EDITABLE) '.[dev]'
	@touch $@

install: $(VENV)/installed-extras ## make .venv and install the package with its extras (TORCH=gpu for CUDA)

demo: $(VENV)/installed ## predict the emotion of a clip, offline (CLIP=path; TRANSCRIBER=id may be fetched)
	@$(if $(TRANSCRIBER),,$(OFFLINE)) $(VENV)/bin/speech-emotion predict $(CLIP) --model $(MODEL) \
	  $(if $(TRANSCRIBER),--transcriber $(TRANSCRIBER))
	@$(if $(TRANSCRIBER),,echo "for a transcript: make demo TRANSCRIBER=openai/whisper-tiny.en")

test: $(VENV)/installed-dev ## run the whole test suite, offline
	@$(PY) -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: $(VENV)/installed-dev ## check style and types
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy

check: lint test ## lint, the whole suite, and the tables compared with their measurements
	@$(PY) -m speech_emotion.evaluation.report --check

format: $(VENV)/installed-dev ## correct the style
	@$(VENV)/bin/ruff check --fix . && $(VENV)/bin/ruff format .

checkpoint-code: $(VENV)/installed ## copy hub_model/ into checkpoints/mini
	@$(PY) scripts/write_checkpoint_code.py checkpoints/mini

space: $(VENV)/installed-extras ## open the demo in a browser
	@$(PY) space/app.py

push-space: $(VENV)/installed-extras ## push the demo (REPO=you/name, SER_MODEL=you/model)
	@$(PY) scripts/push_space.py $(REPO) $(if $(SER_MODEL),--model $(SER_MODEL))

data: $(VENV)/installed ## build corpus/ from DATA/RAVDESS and DATA/TESS
	@$(PY) -m corpus_builder build --source ravdess=$(DATA)/RAVDESS --source tess=$(DATA)/TESS --out corpus

# The recipe "Fine-tune the embedded checkpoint" of docs/training.md, on nEMO.
fine-tuning: $(VENV)/installed ## tune checkpoints/mini to DATA/nEMO, and compare on its test speakers
	@$(PY) -m corpus_builder build --source nemo=$(DATA)/nEMO --config natural \
	  --labels angry,fearful,happy,neutral,sad,surprised --out runs/nemo
	@$(PY) train.py --config configs/fine_tune.yaml --data runs/nemo --output-dir runs/fine_tuned
	@$(OFFLINE) $(PY) evaluate_benchmarks.py corpus --data runs/nemo --protocol natural \
	  --model runs/fine_tuned --model $(MODEL) --text none --out results/fine_tuning.json

# The shipped checkpoint, in seven stages; recipes/mini/README.md describes them and their inputs.
# TEACHER, TEXT_TEACHER and GOEMOTIONS are Hub ids, or folders where they are here already.
TEACHER ?= openai/whisper-tiny.en
TEXT_TEACHER ?= sentence-transformers/all-MiniLM-L6-v2
GOEMOTIONS ?= google-research-datasets/go_emotions
SPEECH_TESS ?= $(DATA)/TESS
SPEECH_FREE ?= runs/speech
SPEECH_NEMO ?= $(DATA)/nEMO
export TEACHER TEXT_TEACHER GOEMOTIONS SPEECH_TESS SPEECH_FREE SPEECH_NEMO
DISTILL := $(PY) -m recipes.mini.distill --resume
TEXT := $(PY) -m recipes.mini.text_stage --resume
# Runs share the vectors of the frozen encoders.
TUNE := $(PY) train.py --config recipes/mini/tune.yaml --data runs/mini_corpus --feature-cache runs/mini_features

# Every source has its folder there, so a new one is fetched into the rest.
$(SPEECH_FREE): $(VENV)/installed recipes/mini/fetch_speech.py
	@$(PY) -m recipes.mini.fetch_speech $@
	@touch $@

runs/mini_corpus: $(VENV)/installed
	@$(PY) -m corpus_builder build --source ravdess=$(DATA)/RAVDESS --source tess=$(DATA)/TESS \
	  --source nemo=$(DATA)/nEMO --keep-neutral --config speaker_disjoint --config natural --out $@

speech: $(SPEECH_FREE) ## fetch free speech without labels (actors of games, announcers; needs Debian)

mini-base: $(VENV)/installed $(SPEECH_FREE)
	@$(DISTILL) --config recipes/mini/distill.yaml --output-dir runs/mini_base
	@$(DISTILL) --config recipes/mini/robust.yaml --output-dir runs/mini_robust
	@$(DISTILL) --config recipes/mini/deepen.yaml --output-dir runs/mini_deep
	@$(DISTILL) --config recipes/mini/voices.yaml --output-dir runs/mini_voices
	@$(TEXT) --config recipes/mini/text_teacher.yaml --output-dir runs/mini_text_teacher
	@$(TEXT) --config recipes/mini/text.yaml --output-dir runs/mini_text

# The class-mean logits, for `speech-emotion adapt`.
MEANS := $(PY) -m speech_emotion calibrate runs/mini_corpus --corpus ravdess --split train --keep-temperature

mini: mini-folds ## train checkpoints/mini again, all stages
	@$(TUNE) --output-dir checkpoints/mini
	@$(MEANS) --model checkpoints/mini

mini-folds: runs/mini_corpus mini-base ## cross-validate the recipe of checkpoints/mini over the speakers of all three corpora
	@$(TUNE) --folds all --output-dir runs/mini_folds

mini-teacher: runs/mini_corpus ## cross-validate the frozen teacher in the place of the speech encoder, on the same folds
	@$(PY) train.py --config recipes/mini/teacher.yaml --data runs/mini_corpus \
	  --feature-cache runs/mini_features --folds all --output-dir runs/mini_teacher

mini-scratch: data ## cross-validate the same architecture from random weights
	@$(PY) train.py --config configs/mini.yaml --data corpus --corpora ravdess --num-train-epochs 12 \
	  --folds all --fold-corpus ravdess --validation none --output-dir runs/mini_scratch

mini-unseen: runs/mini_corpus mini-base ## the same recipe without one corpus each, for the results on an unseen corpus
	@for corpus in ravdess tess nemo; do $(PY) train.py --config recipes/mini/without_$$corpus.yaml \
	  --data runs/mini_corpus --feature-cache runs/mini_features --output-dir runs/mini_without_$$corpus \
	  || exit; done

# Answers are kept in runs/evaluation, so a stopped run goes on; delete that folder to ask again.
# Cross-validations and models without a corpus are shown where they have been trained. The embedded
# checkpoint is tested on runs/mini_corpus, whose test speakers it was not trained on.
EVALUATE := $(OFFLINE) $(PY) evaluate_benchmarks.py
CV := $(patsubst %/cross_validation.json,--folds %,$(wildcard runs/mini_folds/cross_validation.json))
TEACHER_CV := $(patsubst %/cross_validation.json,--folds %,$(wildcard runs/mini_teacher/cross_validation.json))
SCRATCH := $(patsubst %/cross_validation.json,%,$(wildcard runs/mini_scratch/cross_validation.json))
UNSEEN := $(patsubst %/config.json,--model %,$(wildcard runs/mini_without_*/config.json))
WORKERS ?= 0
# Figure 5 is of synthetic clips: a spectrogram shows too much of a recording to be shared.
FIGURES = $(PY) -m speech_emotion.evaluation.paper_figures --data corpus --clips examples --output-dir docs/images \
	&& $(PY) -m speech_emotion.evaluation.report
results: $(VENV)/installed-dev data runs/mini_corpus ## measure again, and rewrite every table from the measurements
	@$(EVALUATE) ravdess --model $(MODEL) --data runs/mini_corpus $(CV) $(TEACHER_CV)
	@$(if $(CV),$(PY) -m recipes.mini.folds_report --data corpus $(CV) $(SCRATCH) --references results/mini_folds.json)
	@$(EVALUATE) table6 --data corpus
	@$(EVALUATE) table8 --data corpus
	@$(if $(UNSEEN),$(EVALUATE) compare $(word 2,$(UNSEEN)) $(MODEL) --data runs/mini_corpus)
	@$(EVALUATE) calibration --model $(MODEL) --data runs/mini_corpus
	@$(EVALUATE) adaptation --model $(MODEL) --data runs/mini_corpus
	@$(EVALUATE) fairness --model $(MODEL) --data runs/mini_corpus
	@$(EVALUATE) conversation --model $(MODEL) --data runs/mini_corpus
	@$(if $(wildcard $(GOEMOTIONS)),$(EVALUATE) comments --model $(MODEL) --data $(GOEMOTIONS))
	@$(EVALUATE) cross_corpus --model $(MODEL) $(UNSEEN) --data runs/mini_corpus $(CV) $(TEACHER_CV) --text none
	@$(EVALUATE) ablation --model $(MODEL) --data $(DATA)/RAVDESS --workers $(WORKERS)
	@$(EVALUATE) robustness --model $(MODEL) --data $(DATA)/RAVDESS --workers $(WORKERS)
	@$(FIGURES)

figures: data ## draw the paper's Figures 3, 4, 5 and 8 into docs/images
	@$(FIGURES)

screenshots: $(VENV)/installed-dev ## rewrite docs/images from the running demo
	@$(OFFLINE) $(PY) scripts/make_screenshots.py
