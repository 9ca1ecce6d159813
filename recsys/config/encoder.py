"""Settings of the encoder: the two towers, the shared space, the text that is read."""

from recsys.config.base import Section


class EncoderConfig(Section):
    """The architecture of a product encoder."""
