"""How fast text is written: with the cache, recomputing, and by KerasHub.

    python -m benchmarks.decoding

64 new tokens after 16 by a gpt2 of 6x512 in one compiled call: with the cache, recomputing, and KerasHub's own
`generate` with the same backbone; greedy, 8 rows, median of 5, in turns.
"""

import time

import keras_hub
import tensorflow as tf

from benchmarks.common import print_table
from models.decoding import Prompt, generate
from models.families.base import Vocabulary
from models.families.gpt2 import Gpt2
from models.generation import Generation


def main() -> None:
    size, read, new, rows = 8000, 16, 64, 8
    vocabulary = Vocabulary(size, pad=0)
    decoder = Gpt2(layers=6, width=512, heads=8).build_decoder(vocabulary, read + new, memory=False)
    ids = tf.random.stateless_uniform([rows, read], [0, 1], 5, size, tf.int32)
    length = tf.fill([rows], read)
    cached = tf.function(
        lambda ids: generate(decoder, Prompt(ids, length), Generation(max_tokens=new), vocabulary).ids[:, 0]
    )

    def recompute(ids):
        ids = tf.pad(ids, [[0, 0], [0, new]])

        def step(n, ids):
            encoded = decoder({"ids": ids[:, :n], "mask": tf.ones_like(ids[:, :n], tf.bool)})
            logits = decoder.logits(encoded.sequence[:, -1])
            logits = tf.where(tf.range(size) == 0, -1e9, logits)
            token = tf.argmax(logits, axis=1, output_type=tf.int32)
            return n + 1, tf.where(tf.range(read + new)[None] == n, token[:, None], ids)

        return tf.while_loop(lambda n, _: n < read + new, step, (read, ids))[1][:, read:]

    whole = tf.function(recompute)
    model = keras_hub.models.GPT2CausalLM(backbone=decoder.parts["backbone"], preprocessor=None)
    model.compile(sampler="greedy")
    padded = {"token_ids": tf.pad(ids, [[0, 0], [0, new]]), "padding_mask": tf.sequence_mask(length, read + new)}

    def theirs(_):
        return model.generate(padded, stop_token_ids=None)["token_ids"][:, read:]

    sides = {"cached": cached, "recomputing": whole, "keras_hub": theirs}
    made = {name: side(ids) for name, side in sides.items()}
    same = [
        bool(tf.reduce_all(tf.cast(made[name], tf.int32) == made["cached"])) for name in ("recomputing", "keras_hub")
    ]
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(5):
        for name, side in sides.items():
            start = time.perf_counter()
            side(ids)
            times[name].append(time.perf_counter() - start)
    middle = {name: sorted(each)[2] for name, each in times.items()}
    faster, against = middle["recomputing"] / middle["cached"], middle["keras_hub"] / middle["cached"]
    beside = "; ".join(f"{name} {1000 * each:.0f} ms" for name, each in middle.items())
    rows = [
        ("64 new tokens, key and value cache", "figure", "wanted"),
        ("recomputing / cached", f"{faster:.1f}x", ">= 3x"),
        ("KerasHub's generate / cached", f"{against:.2f}x", ">= 0.9x"),
        ("median of 5; the same ids", f"{beside}; {same}", ""),
    ]
    print_table("decoding", rows)


if __name__ == "__main__":
    main()
