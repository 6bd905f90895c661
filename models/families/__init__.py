"""The model families, by the name a config gives them."""

from models.families.bag import BagOfWords, Tfidf
from models.families.base import Family
from models.families.bert import Bert
from models.families.recurrent import Gru, Lstm, Rnn
from models.families.transformer import Transformer

FAMILIES: dict[str, type[Family]] = {
    "bag_of_words": BagOfWords,
    "tfidf": Tfidf,
    "rnn": Rnn,
    "lstm": Lstm,
    "gru": Gru,
    "transformer": Transformer,
    "bert": Bert,
}
