"""The masked language model (Devlin et al. 2019, section 3.1): hidden tokens are told from those around them."""

from models.objectives.hidden_tokens import HiddenTokens


class Masked(HiddenTokens):
    """A share of each text's tokens is hidden, other ones every time it is read (as Liu et al. 2019 do)."""
