"""A plain BERT as a text tower, without the wait for a library.

Most small sentence-transformers models, MiniLM among them, are the BERT encoder (Devlin et al. 2019) pooled
to one vector per text. Importing that library, or ``transformers`` alone, takes about ten seconds of CPU,
which every task of a night and every search in words would pay; this takes less than half a second and gives
the same vectors. The weights carry Hugging Face's names, so either reads a folder of the other.

    B = batch, L = tokens, E = hidden size, H = heads
"""

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from recsys.encoder.towers.base import TextTower, Tokens, write_weights

_WEIGHTS = "model.safetensors"
_POOLING = "1_Pooling/config.json"
_FILES = (
    "modules.json", "config.json", "sentence_bert_config.json", "config_sentence_transformers.json",
    _POOLING, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt",
)  # fmt: skip
_UNUSED = ("pooler.", "embeddings.position_ids")


class BertSettings(NamedTuple):
    """What a sentence-transformers folder says of its BERT."""

    config: dict[str, Any]  # Hugging Face's `config.json`
    pooling: Literal["mean", "cls"]
    normalize: bool


def read_settings(folder: Path) -> BertSettings | None:
    """Return the settings of the plain BERT in ``folder``; ``None`` where it is anything else."""
    needed = ("modules.json", "config.json", _POOLING, "tokenizer.json", _WEIGHTS)
    if not all((folder / name).is_file() for name in needed):
        return None
    modules, config, pooling = (json.loads((folder / name).read_text()) for name in needed[:3])
    names = [module["type"].rsplit(".", 1)[-1] for module in modules]
    plain = (
        config.get("model_type") == "bert"
        and config.get("hidden_act") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder")
        and names in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
    )
    modes = {name for name, on in pooling.items() if name.startswith("pooling_mode_") and on is True}
    modes |= {pooling.get("pooling_mode")} - {None}  # since sentence-transformers 6
    if plain and modes in ({"pooling_mode_mean_tokens"}, {"mean"}):
        return BertSettings(config, "mean", names[-1] == "Normalize")
    if plain and modes in ({"pooling_mode_cls_token"}, {"cls"}):
        return BertSettings(config, "cls", names[-1] == "Normalize")
    return None


class BertTower(TextTower):
    """Tokenizer and :class:`Bert` of one folder; what :meth:`save_files` writes is such a folder again."""

    def __init__(self, folder: Path, settings: BertSettings, *, max_tokens: int) -> None:
        from tokenizers import Tokenizer

        super().__init__()
        self._files = {name: (folder / name).read_bytes() for name in _FILES if (folder / name).is_file()}
        own = json.loads(self._files.get("sentence_bert_config.json", b"{}"))
        longest = settings.config["max_position_embeddings"]
        self.max_tokens = min(max_tokens, own.get("max_seq_length") or max_tokens, longest)
        self._lower = bool(own.get("do_lower_case"))
        self._tokenizer = Tokenizer.from_str(self._files["tokenizer.json"].decode())
        self._tokenizer.enable_truncation(self.max_tokens)
        self._tokenizer.enable_padding(pad_id=settings.config.get("pad_token_id") or 0)
        self.model = Bert(settings)
        state = {k.removeprefix("bert."): v.float() for k, v in load_file(folder / _WEIGHTS).items()}
        self.model.load_state_dict({k: v for k, v in state.items() if not k.startswith(_UNUSED)})
        self.dim = settings.config["hidden_size"]

    def tokenize(self, texts: list[str]) -> Tokens:
        """Return token ids and mask, ``[B, L]``, padded to the longest text of the batch."""
        found = self._tokenizer.encode_batch_fast([t.lower() for t in texts] if self._lower else texts)
        return {
            "input_ids": torch.tensor([one.ids for one in found]),
            "attention_mask": torch.tensor([one.attention_mask for one in found]),
        }

    def forward(self, tokens: Tokens) -> torch.Tensor:
        """Return sentence embeddings ``[B, F]``."""
        features: torch.Tensor = self.model(tokens["input_ids"], tokens["attention_mask"])
        return features

    def describe(self) -> dict[str, Any]:
        """Return the longest text; the files say the rest."""
        return {"max_tokens": self.max_tokens}

    def save_files(self, folder: Path) -> None:
        """Write a sentence-transformers folder: its files as they were, the weights as they are."""
        for name, content in self._files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        write_weights(self.model.state_dict(), folder / _WEIGHTS)


class Bert(nn.Module):
    """Token ids to one vector per text."""

    def __init__(self, settings: BertSettings) -> None:
        super().__init__()
        config, self._pooling, self._normalize = settings
        width = config["hidden_size"]
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(config["vocab_size"], width),
                "position_embeddings": nn.Embedding(config["max_position_embeddings"], width),
                "token_type_embeddings": nn.Embedding(config["type_vocab_size"], width),
                "LayerNorm": nn.LayerNorm(width, config["layer_norm_eps"]),
            }
        )
        layers = nn.ModuleList(_Layer(config) for _ in range(config["num_hidden_layers"]))
        self.encoder = nn.ModuleDict({"layer": layers})
        self.dropout = nn.Dropout(config["hidden_dropout_prob"])

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return ``[B, E]`` of ids ``[B, L]`` and a mask ``[B, L]`` that is 0 where a text is padded."""
        embeddings = self.embeddings
        hidden = embeddings["word_embeddings"](input_ids)
        hidden = hidden + embeddings["token_type_embeddings"].weight[0]  # type: ignore[index]
        hidden = hidden + embeddings["position_embeddings"].weight[: input_ids.shape[1]]  # type: ignore[index]
        hidden = self.dropout(embeddings["LayerNorm"](hidden))
        visible = attention_mask.bool()[:, None, None]
        for layer in self.encoder["layer"].children():
            hidden = layer(hidden, visible)
        if self._pooling == "cls":
            pooled = hidden[:, 0]
        else:
            weights = attention_mask[..., None].to(hidden.dtype)
            pooled = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return functional.normalize(pooled, dim=-1) if self._normalize else pooled


class _Layer(nn.Module):
    """Self-attention and a feed-forward network, each with a shortcut and a layer norm behind it."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, inner = config["hidden_size"], config["intermediate_size"]
        norm = config["layer_norm_eps"]
        queries = {name: nn.Linear(width, width) for name in ("query", "key", "value")}
        mixed = {"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, norm)}
        self.attention = nn.ModuleDict({"self": nn.ModuleDict(queries), "output": nn.ModuleDict(mixed)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
        self.output = nn.ModuleDict(
            {"dense": nn.Linear(inner, width), "LayerNorm": nn.LayerNorm(width, norm)}
        )
        self.num_heads = config["num_attention_heads"]
        self.dropout = nn.Dropout(config["hidden_dropout_prob"])

    def forward(self, hidden: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        query, key, value = (
            projection(hidden).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # [B, H, L, E / H]
            for projection in self.attention["self"].values()  # type: ignore[operator]
        )
        rate = self.dropout.p if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=visible, dropout_p=rate)
        hidden = self._add(self.attention["output"], mixed.transpose(1, 2).flatten(2), hidden)
        return self._add(self.output, functional.gelu(self.intermediate["dense"](hidden)), hidden)

    def _add(self, block: Any, inner: torch.Tensor, shortcut: torch.Tensor) -> torch.Tensor:
        added: torch.Tensor = block["LayerNorm"](self.dropout(block["dense"](inner)) + shortcut)
        return added
