"""Text in, text out, in the graph: what a decoder writes after a text, or for a source, its tokenizer around it."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import partial
from typing import Any

import tensorflow as tf

from models.decoding import Prompt, generate, stream
from models.families.base import Vocabulary
from models.generation import Generation

BEFORE = b"a"  # a word


def generation(served, task) -> Callable:
    """The signature that writes as the config says: text <string>[N] -> text <string>[N], the best one, and its score
    <float32>[N]; where several are wanted, texts <string>[N, n_best] and scores <float32>[N, n_best] too.

    score: sum of log-probabilities, as models/decoding.py gives it.
    """
    memory = "encoder_decoder" in task.needs
    endless = served.family.endless
    options = task.generation_of(served.family, served.max_tokens)
    room = 1 if memory else served.max_tokens - (0 if endless else options.max_tokens)
    vocabulary = Vocabulary.of(served.tokenizer)
    # A copy makes its resources anew: training sets seeds, and TensorFlow then forgets those of SentencePiece's op.
    encode, stop = partial(_encode, copy(served.tokenizer)), [text.encode() for text in task.stop]
    stops = stops_of(encode, stop, vocabulary.unknown)

    def write(text):
        rows = tf.shape(text)[0]
        prompt = prompt_of(served, _one_at_least(text), memory, tf.constant(room))
        wide = tf.pad(prompt.ids, [[0, 0], [0, room - tf.shape(prompt.ids)[1]]], constant_values=vocabulary.pad)
        wide = tf.ensure_shape(wide, [None, room])  # caches of decoders have a static length
        found = generate(served.model.encoder, prompt._replace(ids=wide), options, vocabulary, stops)
        texts = texts_of(served.tokenizer, found.ids, found.lengths)[:rows]
        several = {"texts": texts, "scores": found.scores[:rows]} if options.n_best > 1 else {}
        return {"text": texts[:, 0], "score": found.scores[:rows, 0], **several}

    return write


def stops_of(encode: Callable, stop: Sequence[bytes], unknown: int | None) -> list[list[int]]:
    """Ids of the texts that end what is written: as they are alone, behind a space and at the end of a word, since
    SentencePiece and byte-level BPE have other tokens for each.

    encode: texts <string>[N] -> ids <int32>[total] and row splits."""
    texts = BEFORE, *stop, *(b" " + text for text in stop), *(BEFORE + text for text in stop)
    ids, splits = (each.numpy().tolist() for each in encode(tf.constant(texts)))
    before, *rows = (ids[a:b] for a, b in zip(splits, splits[1:], strict=False))
    alone, behind = rows[: 2 * len(stop)], rows[2 * len(stop) :]
    if unknown not in before:  # which may stand for what follows too
        alone += [row[len(before) :] for row in behind if row[: len(before)] == before]
    return [list(each) for each in dict.fromkeys(map(tuple, alone)) if each]


def _encode(tokenizer, text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    ids = tokenizer.graph(text)
    return ids.values, ids.row_splits


def prompt_of(served, text: tf.Tensor, memory: bool, room: tf.Tensor) -> Prompt:
    """What generation starts from: of a text to go on with its last tokens, `room` <int32>[] at most, an end token
    before them counted; of a source to answer its encoded tokens, and the start token."""
    vocabulary, rows = Vocabulary.of(served.tokenizer), tf.shape(text)[0]
    ids = served.tokenizer.graph(text)
    if memory:
        encoded = served.model.encoder.encode(served.model.pack(served.batch([text], [ids])))
        start = tf.fill([rows, 1], vocabulary.first)
        return Prompt(start, tf.ones([rows], tf.int32), encoded.sequence, encoded.mask)
    before = tf.RaggedTensor.from_tensor(tf.fill([rows, 1], vocabulary.between))
    kept = tf.concat([before, ids], axis=1)
    more = tf.maximum(tf.cast(kept.row_lengths(), tf.int32) - room, 0)
    place = tf.ragged.range(more, tf.cast(kept.row_lengths(), tf.int32))
    kept = tf.gather(kept, place, batch_dims=1)
    return Prompt(kept.to_tensor(vocabulary.pad), tf.cast(kept.row_lengths(), tf.int32))


def texts_of(tokenizer, ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """ids <int32>[N, n_best, T], lengths <int32>[N, n_best] -> <string>[N, n_best]."""
    flat = tf.RaggedTensor.from_tensor(tf.reshape(ids, [-1, tf.shape(ids)[2]]), tf.reshape(lengths, [-1]))
    return tf.reshape(tokenizer.graph_decode(flat), tf.shape(lengths))


def _one_at_least(text: tf.Tensor) -> tf.Tensor:
    """Not every encoder takes no rows."""
    return tf.concat([text, tf.fill([tf.maximum(1 - tf.shape(text)[0], 0)], "")], axis=0)


class Writer(tf.Module):
    """What generation with other options than the signature's needs of a model, as functions that the SavedModel holds
    beside its signatures: no Keras, no config and no tokenizer's files. `Written` calls them.

    prompt: text <string>[N] and room <int32>[] -> the tensors of `prompt_of`. first: memory and mask, or mask alone ->
    a state's tensors, with caches of `max_tokens` places. advance: ids <int32>[N] and a state's tensors -> the vector
    <float>[N, width] and the state's tensors. coverage: of a state's tensors, where there is a memory. logits: of a
    vector. texts: as `texts_of`. encode: texts <string>[N] -> ids <int32>[total] and row splits. about: pad, unknown,
    start, end, mask (-1: none), size of the vocabulary, and places (0: any number) <int32>[7].
    """

    def __init__(self, served, memory: bool):
        super().__init__()
        decoder, vocabulary = served.model.encoder, Vocabulary.of(served.tokenizer)
        places = 0 if served.family.endless else served.max_tokens
        template: Any = None

        def first(*given):
            nonlocal template
            memory_and_mask = given if memory else (None, *given)
            state = decoder.init_state(*memory_and_mask, served.max_tokens)
            template = tf.nest.map_structure(lambda _: 0, state)
            return tuple(tf.nest.flatten(state))

        def advance(ids, *state):
            hidden, after = decoder.advance(ids, packed(state))
            return hidden, *tf.nest.flatten(after)

        def packed(state):
            return tf.nest.pack_sequence_as(template, list(state))

        about = [-1 if each is None else each for each in vocabulary[1:6]]
        number, texts = tf.TensorSpec([], tf.int32), tf.TensorSpec([None], tf.string)
        self.prompt = _traced(
            lambda text, room: tuple(e for e in prompt_of(served, text, memory, room) if e is not None), texts, number
        )
        given = _specs(self.prompt)[2:] or [tf.TensorSpec([None, None], tf.bool)]
        self.first = _traced(first, *given)
        self.advance = _traced(advance, tf.TensorSpec([None], tf.int32), *_specs(self.first))
        if memory:
            self.coverage = _traced(lambda *state: decoder.coverage(packed(state)), *_specs(self.first))
        self.logits = _traced(decoder.logits, _specs(self.advance)[0])
        ids, lengths = tf.TensorSpec([None, None, None], tf.int32), tf.TensorSpec([None, None], tf.int32)
        self.texts = _traced(lambda ids, lengths: texts_of(served.tokenizer, ids, lengths), ids, lengths)
        self.encode = _traced(partial(_encode, served.tokenizer), texts)
        self.about = _traced(lambda: tf.constant([*about, vocabulary.size, places]))


def _traced(function: Callable, *specs: tf.TensorSpec):
    traced = tf.function(function, input_signature=specs, autograph=False)
    traced.get_concrete_function()
    return traced


def _specs(traced) -> list[tf.TensorSpec]:
    """Of what a function gives."""
    outputs = tf.nest.flatten(traced.get_concrete_function().structured_outputs)
    return [tf.TensorSpec(each.shape, each.dtype) for each in outputs]


class Written:
    """A decoder, with its tokenizer, from the functions of a `Writer` in a loaded SavedModel."""

    def __init__(self, writer: Any):
        """writer: the attribute of what `tf.saved_model.load` gives."""
        self.writer = writer
        pad, *others, size, self.places = writer.about().numpy().tolist()
        unknown, start, end, mask = (None if each < 0 else each for each in others)
        self.vocabulary = Vocabulary(size, pad, unknown, start, end, mask)

    def prompt(self, texts: list[bytes], new: int) -> Prompt:
        """What generation of `new` tokens starts from. Raises ValueError where the model has no places for them."""
        if self.places and new >= self.places:
            raise ValueError(f"got {new} new tokens, wanted {self.places - 1} at most, the model's places but one")
        room = self.places - new if self.places else 1 << 30
        return Prompt(*self.writer.prompt(tf.constant(texts, tf.string), tf.constant(room)))

    def generate(self, texts: list[bytes], options: Generation, stop: Sequence[bytes] = ()) -> tuple[list, list]:
        """Of each text the n best <list[str]> and their scores <list[float]>."""
        prompt = [each for each in self.prompt(texts, options.max_tokens) if each is not None]
        # Any number of rows, since beams are rows too; the rest as it is, for loops and caches of static shape.
        specs = [tf.TensorSpec([None, *each.shape[1:]], each.dtype) for each in prompt]
        stops = self.stops(stop)
        search = tf.function(
            lambda *prompt: generate(self, Prompt(*prompt), options, self.vocabulary, stops),
            input_signature=specs,
            autograph=False,
        )
        found = search(*prompt)
        written = self.writer.texts(found.ids, found.lengths).numpy()
        return [[text.decode() for text in row] for row in written], found.scores.numpy().tolist()

    def stream(self, text: bytes, options: Generation, stop: Sequence[bytes] = ()) -> Iterator[str]:
        """New text as soon as it is sure: the bytes of a character may come one by one, and what may be the start of a
        stop text waits."""
        ids: list[int] = []
        told = whole = ""
        for token in stream(self, self.prompt([text], options.max_tokens), options, self.vocabulary, self.stops(stop)):
            if (new := int(token[0])) != self.vocabulary.pad:
                ids.append(new)
                whole = self.writer.texts(tf.constant([[ids]]), tf.constant([[len(ids)]])).numpy()[0, 0].decode()
                sure = whole.rstrip("\ufffd")
                if len(sure) > len(told):
                    yield sure[len(told) :]
                    told = sure
        if len(whole) > len(told):
            yield whole[len(told) :]

    def stops(self, stop: Sequence[bytes]) -> list[list[int]]:
        return stops_of(self.writer.encode, stop, self.vocabulary.unknown)

    def init_state(self, memory, mask, max_tokens):
        return tuple(self.writer.first(*(each for each in (memory, mask) if each is not None)))

    def advance(self, ids, state):
        hidden, *state = self.writer.advance(ids, *state)
        return hidden, tuple(state)

    def logits(self, hidden):
        return self.writer.logits(hidden)

    def coverage(self, state):
        return self.writer.coverage(*state)

    def reorder(self, state, parents):
        return tuple(tf.gather(each, parents) if each.shape.rank else each for each in state)
