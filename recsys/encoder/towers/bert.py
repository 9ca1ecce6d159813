"""The BERT encoder (Devlin et al. 2019), pooled to one vector per text.

Most small sentence-transformers models, MiniLM among them, are exactly this. Importing that library takes
ten seconds of CPU, which every task of a night and every search in words would pay; this takes none. The
weights carry Hugging Face's names, so a folder is read by either.

    B = batch, L = tokens, E = hidden size, H = heads

Does not know: tokens' meaning, folders.
"""

from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class BertSettings:
    """What ``config.json`` and the pooling's say."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float
    dropout: float
    pooling: Literal["mean", "cls"]
    normalize: bool

    @classmethod
    def read(cls, config: dict[str, Any], *, pooling: Literal["mean", "cls"], normalize: bool) -> Self:
        """Take the values of a Hugging Face ``config.json``."""
        shared = {name: config[name] for name in list(cls.__dataclass_fields__)[:8]}
        return cls(**shared, dropout=config["hidden_dropout_prob"], pooling=pooling, normalize=normalize)


class Bert(nn.Module):
    """Token ids to one vector per text."""

    def __init__(self, settings: BertSettings) -> None:
        super().__init__()
        s = self.settings = settings
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(s.vocab_size, s.hidden_size),
                "position_embeddings": nn.Embedding(s.max_position_embeddings, s.hidden_size),
                "token_type_embeddings": nn.Embedding(s.type_vocab_size, s.hidden_size),
                "LayerNorm": nn.LayerNorm(s.hidden_size, s.layer_norm_eps),
            }
        )
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(_Layer(s) for _ in range(s.num_hidden_layers))})

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return ``[B, E]`` of ids ``[B, L]`` and a mask ``[B, L]`` that is 0 where a text is padded."""
        embeddings = self.embeddings
        hidden = embeddings["word_embeddings"](input_ids)
        hidden = hidden + embeddings["token_type_embeddings"].weight[0]  # type: ignore[index]
        hidden = hidden + embeddings["position_embeddings"].weight[: input_ids.shape[1]]  # type: ignore[index]
        hidden = functional.dropout(embeddings["LayerNorm"](hidden), self.settings.dropout, self.training)
        visible = attention_mask.bool()[:, None, None]
        for layer in self.encoder["layer"].children():
            hidden = layer(hidden, visible)
        if self.settings.pooling == "cls":
            pooled = hidden[:, 0]
        else:
            weights = attention_mask[..., None].to(hidden.dtype)
            pooled = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return functional.normalize(pooled, dim=-1) if self.settings.normalize else pooled


class _Layer(nn.Module):
    """Self-attention and a feed-forward network, each with a shortcut and a layer norm behind it."""

    def __init__(self, s: BertSettings) -> None:
        super().__init__()
        width = s.hidden_size
        self.attention = nn.ModuleDict(
            {
                "self": nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")}),
                "output": _output(width, s),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, s.intermediate_size)})
        self.output = _output(s.intermediate_size, s)
        self.num_heads, self.dropout = s.num_attention_heads, s.dropout

    def forward(self, hidden: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        rate = self.dropout if self.training else 0.0
        heads = [
            projection(hidden).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # [B, H, L, E / H]
            for projection in self.attention["self"].values()  # type: ignore[operator]
        ]
        query, key, value = heads
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=visible, dropout_p=rate)
        hidden = self._add(self.attention["output"], mixed.transpose(1, 2).flatten(2), hidden)
        return self._add(self.output, functional.gelu(self.intermediate["dense"](hidden)), hidden)

    def _add(self, block: Any, inner: torch.Tensor, shortcut: torch.Tensor) -> torch.Tensor:
        dropped = functional.dropout(block["dense"](inner), self.dropout, self.training)
        added: torch.Tensor = block["LayerNorm"](dropped + shortcut)
        return added


def _output(inputs: int, s: BertSettings) -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            "dense": nn.Linear(inputs, s.hidden_size),
            "LayerNorm": nn.LayerNorm(s.hidden_size, s.layer_norm_eps),
        }
    )
