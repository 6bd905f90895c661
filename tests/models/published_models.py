"""Tiny models in Hugging Face's published format, their weights drawn from their names: the same everywhere.

`make_golden.py` runs them in torch `transformers` and keeps what they answer; the tests here need no torch.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy
import xxhash

STDS = (0.02, 0.25)
GOLDEN = Path(__file__).parent.parent / "golden"  # published.json: versions, configs, shapes; published.npz: answers
ENCODER = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
BERT = {"vocab_size": 13, **ENCODER, "max_position_embeddings": 16, "hidden_act": "gelu"}
T5 = {"vocab_size": 13, "d_model": 8, "d_kv": 3, "d_ff": 12, "num_layers": 2, "num_heads": 2}
# Keyword arguments of the reference's config classes, by model_type; the name before a dash.
CONFIGS = {
    "bert": {**BERT, "layer_norm_eps": 1e-12},
    "bert-tanh": {**BERT, "hidden_act": "gelu_new", "layer_norm_eps": 1e-3, "type_vocab_size": 3},
    "roberta": {**BERT, "max_position_embeddings": 18, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1},
    "distilbert": {
        "vocab_size": 13,
        "dim": 8,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 12,
        "max_position_embeddings": 16,
        "activation": "gelu",
    },
    "albert": {**BERT, "embedding_size": 4, "num_hidden_groups": 2, "hidden_act": "gelu_new"},
    "albert-erf": {**BERT, "embedding_size": 4, "inner_group_num": 2, "layer_norm_eps": 1e-3},
    "gpt2": {"vocab_size": 13, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16},
    "gpt2-relu": {
        "vocab_size": 13,
        "n_embd": 8,
        "n_layer": 2,
        "n_head": 2,
        "n_positions": 16,
        "n_inner": 12,
        "activation_function": "relu",
        "layer_norm_epsilon": 1e-3,
    },
    "t5": {**T5, "feed_forward_proj": "relu", "tie_word_embeddings": True, "layer_norm_epsilon": 1e-3},
    "t5-gated": {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "t5-untied": {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
}
MASKED = [name for name in CONFIGS if name.split("-")[0] in ("bert", "roberta", "distilbert", "albert")]
IDS = np.array([[5, 9, 12, 7, 6, 8], [11, 10, 5, 0, 0, 0]], np.int32)  # no id is a special token
MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]], bool)
SEGMENTS = np.array([[0, 0, 0, 1, 1, 1], [0, 1, 1, 0, 0, 0]], np.int32)
TARGET = np.array([[0, 6, 7, 12], [0, 9, 5, 5]], np.int32)  # what T5's decoder is fed


def draw(name: str, shape, std: float) -> np.ndarray:
    """A tensor's weights, from its name alone: around 1 for the weights of norms, around 0 else."""
    random = np.random.default_rng(xxhash.xxh3_64_intdigest(name.encode()))
    centre = 1.0 if "norm" in name.lower() or ".ln_" in name or "ln_f" in name else 0.0
    centre *= name.endswith("weight")
    return (centre + std * random.standard_normal(shape)).astype(np.float32)


def write(folder: Path, config: Mapping, shapes: Mapping[str, list[int]], std: float, prefix: str = "") -> Path:
    """A folder of config.json and model.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {prefix + name: draw(name, shape, std) for name, shape in shapes.items()}
    safetensors.numpy.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def answers(folder: Path, model_type: str) -> dict[str, np.ndarray]:
    """What ours gives for IDS: layers <float32>[3, 2, 6, 8], 0 in the padding, their last as sequence, pooled
    <float32>[2, 8] and, of a decoder, logits <float32>[2, T, 13]."""
    from models.families import FAMILIES
    from models.families.base import Vocabulary

    family, vocabulary = FAMILIES[model_type](preset=str(folder), dropout=0.0), Vocabulary(13)
    packed = {"ids": IDS, "mask": MASK, "segment_ids": SEGMENTS}
    encoded = family.build(vocabulary, 16, 2, {})(packed)
    found = {"layers": np.stack(encoded.layers) * MASK[:, :, None], "pooled": np.array(encoded.pooled)}
    found["sequence"] = found["layers"][-1]
    if "encoder_decoder" in family.offers:
        packed |= {"target_ids": TARGET, "target_mask": np.ones_like(TARGET, bool)}
        decoder = family.build_decoder(vocabulary, 16, memory=True)
        found["logits"] = np.array(decoder.logits(decoder(packed).sequence))
    elif "causal" in family.offers:
        decoder = family.build_decoder(vocabulary, 16, memory=False)
        found["logits"] = np.array(decoder.logits(decoder(packed).sequence)) * MASK[:, :, None]
    return found


def masked_logits(folder: Path, model_type: str) -> np.ndarray:
    """Logits of every token <float32>[2, 6, 13] by the head that tells hidden ones, 0 in the padding."""
    from models.families import FAMILIES
    from models.families.base import Vocabulary
    from models.masked_head import Told

    family = FAMILIES[model_type](preset=str(folder), dropout=0.0)
    encoder, head = family.build_masked(Vocabulary(13), 16, {})
    vectors = encoder({"ids": IDS, "mask": MASK, "segment_ids": SEGMENTS}).sequence
    found = Told(head)({"vectors": vectors, "place": IDS})["logits"]
    return np.array(found) * MASK[:, :, None]
