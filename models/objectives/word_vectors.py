"""What the objectives share whose outcome is a vector for each word."""

from data.errors import ConfigError
from models.families.word_vectors import WordVectors
from models.objectives.base import Objective


class WordObjective(Objective):
    """For families whose word vectors may come from a file: the outcome is such a file."""

    def check(self, family):
        if not isinstance(family, WordVectors):
            raise ConfigError(
                f"pretrainer.objective: got one that makes word vectors, and family '{type(family).__name__.lower()}' "
                "starts from none; wanted a family with `vectors`, such as word2vec, fasttext or lstm"
            )
        if family.vectors:
            raise ConfigError("trainer.family.vectors: got a file, and [pretrainer], which makes one; keep one of them")

    def loss(self, outputs, batch):
        return outputs

    def measure(self, start, params):
        from models.vector_report import report

        return report(start, **params)
