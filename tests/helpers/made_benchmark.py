"""A made corpus in RAVDESS's layout and a tiny untrained model, for tests of the evaluation."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from transformers import BertTokenizer, Wav2Vec2FeatureExtractor

from corpus_builder.sources.ravdess import EMOTIONS as CODES
from hub_model.audio import SAMPLING_RATE, Cleaning
from hub_model.configuration_hubert_bert import PIPELINE_TASK, HubertBertConfig
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from hub_model.pipeline_hubert_bert import SpeechTextEmotionPipeline
from hub_model.processing_hubert_bert import HubertBertProcessor

ACTORS = range(1, 6)
NO_CLEANING = Cleaning(denoise=False, trim=False)


def write_ravdess(root: Path) -> None:
    """Two statements of each of the eight emotions by five actors; each emotion has its tone."""
    time = np.arange(int(1.1 * SAMPLING_RATE)) / SAMPLING_RATE
    for actor in ACTORS:
        folder = root / f"Actor_{actor:02d}"
        folder.mkdir(parents=True)
        rng = np.random.default_rng(actor)
        for code in CODES:
            for statement in ("01", "02"):
                hertz = 200 * int(code) + rng.uniform(-20, 20)
                waveform = 0.3 * np.sin(2 * np.pi * hertz * time) + rng.normal(0, 0.01, time.size)
                name = f"03-01-{code}-01-{statement}-01-{actor:02d}.wav"
                soundfile.write(folder / name, waveform, SAMPLING_RATE)


def write_model(folder: Path, training: dict | None) -> None:
    """A model folder as it is pushed to the Hub, with random weights and the given training."""
    sentences = "kids dogs are talking sitting by the door"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sentences.split()]
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(words)})
    config = HubertBertConfig(
        audio_config={
            "model_type": "hubert",
            "conv_dim": [16] * 7,
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "num_conv_pos_embeddings": 16,
            "num_conv_pos_embedding_groups": 2,
        },
        text_config={
            "model_type": "bert",
            "vocab_size": len(words),
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "max_position_embeddings": 32,
        },
        cleaning=NO_CLEANING.to_dict(),
        transcriber="none",
        training=training,
    )
    extractor = Wav2Vec2FeatureExtractor(sampling_rate=SAMPLING_RATE, return_attention_mask=True)
    SpeechTextEmotionPipeline(
        model=HubertBertForEmotion(config).eval(),
        processor=HubertBertProcessor(extractor, tokenizer),
        task=PIPELINE_TASK,
        device="cpu",
    ).save_pretrained(folder)


def split_speakers(corpus: Path, protocol: str, split: str) -> list[str]:
    (file,) = (corpus / protocol).glob(f"{split}-*.parquet")
    return sorted(set(pq.read_table(file, columns=["speaker_id"])["speaker_id"].to_pylist()))


def rewrite_corpus(source: Path, target: Path, change: Callable[[pa.Table, str], pa.Table]) -> None:
    """Write a corpus whose shards are changed; its card says no more than where they lie."""
    for shard in source.glob("*/*.parquet"):
        table = change(pq.read_table(shard), shard.name.split("-")[0])
        (target / shard.parent.name).mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(target / shard.parent.name / shard.name, table.schema) as writer:
            if len(table):
                writer.write_table(table)
    card = ["---", "configs:"]
    for config in ("speaker_disjoint", "paper"):
        card += [f"- config_name: {config}", "  data_files:"]
        for split in ("train", "validation", "test"):
            card += [f"  - split: {split}", f"    path: {config}/{split}-*.parquet"]
    (target / "README.md").write_text("\n".join([*card, "---", ""]), encoding="utf-8")
