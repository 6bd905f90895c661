"""The transformer of Vaswani et al. 2017: an encoder, a causal decoder, or both, as the task needs."""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from models.families.base import COVERAGE, Encoded, Family


class Transformer(Family):
    """Self-attention over word vectors and positions; where a target is written, attention to the source as well."""

    layers: int = Field(2, ge=1, le=96, description="layers of the encoder, and of the decoder")
    width: int = Field(128, ge=1, description="width of the token vectors; a multiple of heads")
    heads: int = Field(4, ge=1, description="attention heads")
    intermediate: int | None = Field(None, ge=1, description="width of the feed-forward layers; 4 * width if not given")
    positions: Literal["sinusoidal", "learned"] = Field("sinusoidal", description="vectors that tell the order")
    norm: Literal["pre", "post"] = Field(
        "pre", description="layer norm before each sublayer, steadier in training, or after, as in the paper"
    )
    dropout: float = Field(
        0.1, ge=0, lt=1, description="on vectors, attention weights, sublayers and the text's vector"
    )
    pooling: Literal["mean", "max", "attention"] = Field(
        "mean", description="vector of a text: its tokens' mean, largest or attention-weighted values"
    )
    tied_embeddings: bool = Field(
        True, description="where the next token is predicted, score it with the word vectors (section 3.4)"
    )

    offers: ClassVar[frozenset[str]] = frozenset({"pooled", "sequence", "masked", "causal", "encoder_decoder"})
    default_tokenizer: ClassVar[dict[str, Any]] = {"kind": "words", "vocabulary_size": 20_000, "min_count": 2}
    recommended: ClassVar[dict[str, Any]] = {
        "epochs": 8,
        "batch_tokens": 2048,
        "optimizer": {"learning_rate": 5e-4, "schedule": "linear", "warmup": 0.1},
    }

    @model_validator(mode="after")
    def _whole_heads(self) -> "Transformer":
        if self.width % self.heads:
            raise ValueError(f"got width {self.width} with {self.heads} heads, wanted a multiple")
        return self

    def build(self, vocabulary, max_tokens, n_outputs, adapted):
        from models.layers import Encoder, Pooling

        parts = self._parts(vocabulary, max_tokens) | self._stack("", memory=False)
        parts["pooling"] = Pooling(self.pooling)
        return Encoder(parts, self.encode_text, [[parts["embedding"], parts["positions"]], *_steps(parts, "")])

    def build_masked(self, vocabulary, max_tokens, adapted):
        from models.masked_head import Reversed, head_of

        encoder = self.build(vocabulary, max_tokens, 1, adapted)
        return encoder, head_of(Reversed(encoder.parts["embedding"]), self.width)

    def build_decoder(self, vocabulary, max_tokens, memory):
        from keras import layers

        from models.layers import Decoder

        parts = self._parts(vocabulary, max_tokens) | self._stack("target_", memory)
        if memory:
            parts |= self._stack("", memory=False)
        if not self.tied_embeddings:
            parts["output"] = layers.Dense(vocabulary.size)
        stacks = [step for prefix in ("", "target_") for step in _steps(parts, prefix)]
        return Decoder(parts, self, [[parts["embedding"], parts["positions"]], *stacks])

    def _parts(self, vocabulary, max_tokens: int) -> dict[str, Any]:
        from keras import initializers, layers

        from models.attention import Positions

        scale = initializers.RandomNormal(stddev=self.width**-0.5)  # with the factor in _embed, vectors of variance 1
        return {
            "embedding": layers.Embedding(vocabulary.size, self.width, embeddings_initializer=scale),
            "positions": Positions(self.positions, max_tokens, self.width),
            "dropout": layers.Dropout(self.dropout),
        }

    def _stack(self, prefix: str, memory: bool) -> dict[str, Any]:
        from keras import layers

        from models.attention import TransformerLayer

        sizes = self.width, self.heads, self.intermediate or 4 * self.width, self.dropout, self.norm
        stack = {f"{prefix}layers": [TransformerLayer(*sizes, memory) for _ in range(self.layers)]}
        if self.norm == "pre":  # nothing has brought the last sum to unit scale
            stack[f"{prefix}norm"] = [layers.LayerNormalization(epsilon=1e-5)]
        return stack

    def encode_text(self, parts, packed, training) -> Encoded:
        """Vectors of the tokens, each seeing all others, and of the text."""
        encoded = self.encode(parts, packed, training)
        pooled = parts["pooling"](encoded.sequence, encoded.mask)
        return encoded._replace(pooled=parts["dropout"](pooled, training=training))

    def encode(self, parts, packed, training) -> Encoded:
        every = self._run(parts, "", packed["ids"], packed["mask"][:, None, None, :], training)
        return Encoded(every[-1], None, every, packed["mask"])

    def decode(self, parts, packed, training) -> Encoded:
        import tensorflow as tf

        source = self.encode(parts, packed, training) if "layers" in parts else None
        ids, mask = (packed["target_ids"], packed["target_mask"]) if source else (packed["ids"], packed["mask"])
        order = tf.range(ids.shape[1] or tf.shape(ids)[1])
        seen = order[:, None] >= order  # padding is at the right, where no token looks
        memory = (source.sequence, source.mask[:, None, None, :]) if source else ()
        every = self._run(parts, "target_", ids, seen, training, *memory)
        return Encoded(every[-1], None, every, mask)

    def _run(self, parts, prefix: str, ids, keep, training, *memory) -> tuple:
        """The vectors that each layer of a stack gives, word vectors first."""
        import tensorflow as tf

        every = [self._embed(parts, ids, tf.range(ids.shape[1] or tf.shape(ids)[1]), training)]
        for layer in parts[f"{prefix}layers"]:
            every.append(layer(every[-1], keep, *memory, training=training))
        for norm in parts.get(f"{prefix}norm", ()):
            every[-1] = norm(every[-1])
        return tuple(every)

    def _embed(self, parts, ids, positions, training):
        vectors = parts["embedding"](ids) * self.width**0.5 + parts["positions"](positions)
        return parts["dropout"](vectors, training=training)

    def logits(self, parts, hidden):
        from models.layers import alike

        if not self.tied_embeddings:
            return parts["output"](hidden)
        return alike(hidden, parts["embedding"].embeddings)

    def init_state(self, parts, memory, mask, max_tokens):
        """position <int32>[]; for each layer the cache of steps and, with a memory, that of the source; its mask, and
        the last layer's attention to each of its tokens so far."""
        import tensorflow as tf

        from models.layers import uncovered

        if max_tokens > parts["positions"].length:
            raise ValueError(
                f"got {max_tokens} steps, wanted {parts['positions'].length} at most, the model's max_tokens"
            )
        rows = mask.shape[0] or tf.shape(mask)[0]
        layers = parts["target_layers"]
        empty = tf.zeros([rows, self.heads, max_tokens, self.width // self.heads], layers[0].compute_dtype)
        state = {"position": tf.constant(0), "layers": [(empty, empty) for _ in layers]}
        if memory is not None:
            state |= {"memory": [layer.to_memory.cache(memory) for layer in layers], "memory_mask": mask}
            state[COVERAGE] = uncovered(mask)
        return state

    def step(self, parts, ids, state):
        position, caches = state["position"], []
        x = self._embed(parts, ids[:, None], position[None], training=False)
        keep = state["memory_mask"][:, None, None, :] if "memory" in state else None
        for n, layer in enumerate(parts["target_layers"]):
            memory = state["memory"][n] if "memory" in state else None
            x, cache, look = layer.step(x, state["layers"][n], position, memory, keep)
            caches.append(cache)
        for norm in parts.get("target_norm", ()):
            x = norm(x)
        covered = {COVERAGE: state[COVERAGE] + look} if "memory" in state else {}
        return x[:, 0], {**state, **covered, "position": position + 1, "layers": caches}


def _steps(parts, prefix: str) -> list[list]:
    """The layers of each step of a stack, none where there is none; its norm belongs to the last."""
    steps = [[layer] for layer in parts.get(f"{prefix}layers", ())]
    return [*steps[:-1], *([*last, *parts.get(f"{prefix}norm", ())] for last in steps[-1:])]
