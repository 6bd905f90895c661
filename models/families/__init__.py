"""The model families, by the name a config gives them."""

from models.families.bag import BagOfWords, Tfidf
from models.families.base import Family
from models.families.bert import Albert, Bert, DistilBert, Roberta
from models.families.elmo import Elmo
from models.families.fasttext import Fasttext
from models.families.gpt2 import Gpt2
from models.families.recurrent import Gru, Lstm, Rnn
from models.families.t5 import T5
from models.families.transformer import Transformer
from models.families.vectors import Glove, Word2vec

FAMILIES: dict[str, type[Family]] = {
    "bag_of_words": BagOfWords,
    "tfidf": Tfidf,
    "word2vec": Word2vec,
    "glove": Glove,
    "fasttext": Fasttext,
    "rnn": Rnn,
    "lstm": Lstm,
    "gru": Gru,
    "transformer": Transformer,
    "elmo": Elmo,
    "bert": Bert,
    "roberta": Roberta,
    "distilbert": DistilBert,
    "albert": Albert,
    "gpt2": Gpt2,
    "t5": T5,
}
