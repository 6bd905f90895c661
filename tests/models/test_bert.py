"""Tests `models/families/bert.py` and `models/hub.py`: presets come from local folders here, without a network."""

import json

import keras
import keras_hub
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from data.errors import ConfigError
from models.build import build_model
from models.families import FAMILIES
from models.families.bert import Albert, Bert
from models.hub import find_folder, load_backbone
from models.tasks.classification import Classification
from tests.contracts import tiny

BERT = keras_hub.models.BertBackbone
PIECES = [*tiny.WORDS.vocabulary[:5], "a", "b", "##b"]


def backbone(seed: int = 0, **sizes):
    keras.utils.set_random_seed(seed)
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16} | sizes
    return BERT(vocabulary_size=13, max_sequence_length=32, **sizes)


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    path = tmp_path_factory.mktemp("presets") / "bert"
    backbone().save_to_preset(str(path))
    return path


def test_layers_and_pooling_are_those_of_kerashubs_own_model(preset):
    """We call its layers one by one; its functional model calls them its own way."""
    batch = tiny.batch("classification", 5)
    model = build_model(Bert(preset=str(preset)), Classification(), tiny.VOCABULARY, 16, ["no", "yes"], False)
    packed = model.pack(batch)
    encoded = model.encoder(packed)
    inputs = {"token_ids": packed["ids"], "segment_ids": packed["segment_ids"], "padding_mask": packed["mask"]}
    expected = backbone()(inputs)
    np.testing.assert_allclose(encoded.sequence, expected["sequence_output"], atol=1e-6)
    np.testing.assert_allclose(encoded.pooled, expected["pooled_output"], atol=1e-6)
    assert len(encoded.layers) == 3 and encoded.layers[-1] is encoded.sequence


def test_a_hugging_face_folder_is_read(tmp_path):
    made = backbone(seed=3)
    sizes = {"vocab_size": 13, "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 8}
    more = {"intermediate_size": 16, "max_position_embeddings": 32, "model_type": "bert"}
    (tmp_path / "config.json").write_text(json.dumps(sizes | more))
    safetensors.numpy.save_file(hugging_face(made), tmp_path / "model.safetensors", {"format": "pt"})
    read = load_backbone(str(tmp_path), BERT, dropout=0.4)
    assert read.embeddings_dropout.rate == 0.4
    assert len(read.weights) == len(made.weights)
    for found, expected in zip(read.weights, made.weights, strict=True):
        assert np.array_equal(found, expected), found.path


def hugging_face(made) -> dict[str, np.ndarray]:
    """The weights of a KerasHub backbone under Hugging Face's names."""

    def dense(name, layer, width=8):
        kernel, bias = (np.array(weight) for weight in layer.weights)
        rows = kernel.reshape(-1, width) if name.endswith("output.dense") else kernel.reshape(8, -1)
        return {f"{name}.weight": np.ascontiguousarray(rows.T), f"{name}.bias": bias.reshape(-1)}

    def norm(name, layer):
        return {f"{name}.weight": np.array(layer.gamma), f"{name}.bias": np.array(layer.beta)}

    tensors = {
        "embeddings.word_embeddings.weight": np.array(made.token_embedding.embeddings),
        "embeddings.position_embeddings.weight": np.array(made.position_embedding.position_embeddings),
        "embeddings.token_type_embeddings.weight": np.array(made.segment_embedding.embeddings),
        **norm("embeddings.LayerNorm", made.embeddings_layer_norm),
        **dense("pooler.dense", made.pooled_dense),
    }
    for n, layer in enumerate(made.transformer_layers):
        attention, name = layer._self_attention_layer, f"encoder.layer.{n}"
        for part in ("query", "key", "value"):
            tensors |= dense(f"{name}.attention.self.{part}", getattr(attention, f"{part}_dense"))
        tensors |= dense(f"{name}.attention.output.dense", attention.output_dense)
        tensors |= norm(f"{name}.attention.output.LayerNorm", layer._self_attention_layer_norm)
        tensors |= dense(f"{name}.intermediate.dense", layer._feedforward_intermediate_dense)
        tensors |= dense(f"{name}.output.dense", layer._feedforward_output_dense)
        tensors |= norm(f"{name}.output.LayerNorm", layer._feedforward_layer_norm)
    return {f"bert.{name}": array for name, array in tensors.items()}


def test_a_preset_follows_the_dtype_policy(preset):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert load_backbone(str(preset), BERT).dtype_policy.name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")


def test_dropout_is_the_familys_in_a_preset_too(preset):
    encoder = Bert(preset=str(preset), dropout=0.3).build(tiny.VOCABULARY, 16, 2, {})
    rates = {layer.rate for layer in encoder._flatten_layers() if isinstance(layer, keras.layers.Dropout)}
    assert rates == {0.3}


def test_a_presets_tokenizer_is_read_from_its_folder(tmp_path):
    from data.tokenizers import from_files

    for part in (backbone(), keras_hub.models.BertTokenizer(PIECES, lowercase=True)):
        part.save_to_preset(str(tmp_path / "preset"))
    made = from_files(find_folder(str(tmp_path / "preset")))
    assert list(made.vocabulary) == PIECES and made.encode(["A ab"])[0].tolist() == [5, 5, 7]


def test_what_is_no_preset_says_what_was_wanted(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds a config.json without class_name or model_type, wanted BertBackbone"):
        load_backbone(str(tmp_path), BERT)


def test_another_architecture_is_refused(tmp_path):
    sizes = {"vocabulary_size": 13, "num_layers": 1, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16}
    keras_hub.models.GPT2Backbone(**sizes, max_sequence_length=16).save_to_preset(str(tmp_path))
    with pytest.raises(ConfigError, match="BertBackbone"):
        load_backbone(str(tmp_path), BERT)


def test_a_preset_too_small_for_tokenizer_or_texts_is_refused(preset):
    family = Bert(preset=str(preset))
    with pytest.raises(ConfigError, match="13 tokens and 32 positions; got a tokenizer of 14"):
        family.build(tiny.VOCABULARY._replace(size=14), 32, 2, {})
    with pytest.raises(ConfigError, match="max_tokens = 33"):
        family.build(tiny.VOCABULARY, 33, 2, {})


def test_lora_trains_additions_to_queries_and_values_only(preset):
    keras.utils.set_random_seed(0)
    plain, lora = (
        build_model(
            Bert(preset=str(preset), dropout=0.0, lora=rank),
            Classification(),
            tiny.VOCABULARY,
            16,
            ["no", "yes"],
            False,
        )
        for rank in (None, 2)
    )
    names = {weight.path.split("/")[-1] for weight in lora.encoder.trainable_weights}
    assert names == {"lora_kernel_a", "lora_kernel_b", "bias"}  # Keras trains the bias of a layer with LoRA
    assert len(lora.encoder.trainable_weights) == 2 * 2 * 3
    batch = tiny.batch("classification", 5)
    encoded = lora.encoder(lora.pack(batch))
    np.testing.assert_allclose(encoded.sequence, plain.encoder(plain.pack(batch)).sequence, atol=1e-6)  # B starts at 0
    before = [np.array(weight) for weight in lora.encoder.non_trainable_weights]
    optimizer = keras.optimizers.Adam(0.1)
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(Classification().loss(lora(batch, training=True), batch))
        weights = lora.trainable_weights
        gradients = tape.gradient(loss, [weight.value for weight in weights])
        assert not [w.path for w, gradient in zip(weights, gradients, strict=True) if gradient is None]
        optimizer.apply(gradients, weights)
    assert all(map(np.array_equal, before, lora.encoder.non_trainable_weights))
    assert np.abs(lora.encoder(lora.pack(batch)).sequence - encoded.sequence).max() > 0.01


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_lora_finds_the_queries_and_values_of_every_backbone(name, tmp_path):
    """And freezes the rest, T5's word vectors too, which its encoder holds apart."""
    kind, sizes = {
        "gpt2": (keras_hub.models.GPT2Backbone, {"max_sequence_length": 16}),
        "t5": (keras_hub.models.T5Backbone, {"tie_embedding_weights": False}),
    }[name]
    sizes |= {"vocabulary_size": 13, "num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 8}
    kind(**sizes).save_to_preset(str(tmp_path))
    family = FAMILIES[name](preset=str(tmp_path), lora=2)
    encoder = build_model(family, Classification(), tiny.VOCABULARY, 16, ["no", "yes"], False).encoder
    trained = [weight.path.split("/")[-1] for weight in encoder.trainable_weights]
    assert trained.count("lora_kernel_a") == trained.count("lora_kernel_b") == 2 * 2
    assert set(trained) <= {"lora_kernel_a", "lora_kernel_b", "bias"}


def test_lora_wants_a_preset_and_brings_its_rate():
    with pytest.raises(ValueError, match="got lora without preset"):
        Bert(lora=4)
    tuned, lora = Bert(preset="bert_tiny_en_uncased"), Bert(preset="bert_tiny_en_uncased", lora=4)
    assert lora.defaults()["optimizer"]["learning_rate"] == 10 * tuned.defaults()["optimizer"]["learning_rate"]


def test_layers_of_albert_are_of_whole_groups():
    with pytest.raises(ValueError, match="got 3 layers in 2 groups, wanted a multiple"):
        Albert(layers=3, groups=2)


def test_a_preset_has_its_own_size():
    with pytest.raises(ValueError, match="got preset and layers, width; a preset has its own size"):
        Bert(preset="bert_tiny_en_uncased", layers=2, width=128)


def test_width_is_shared_by_the_heads():
    with pytest.raises(ValueError, match="got width 10 with 4 heads, wanted a multiple"):
        Bert(width=10, heads=4)
