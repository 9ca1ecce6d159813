"""A sentence-transformers folder that holds a plain BERT, run without that library.

Does not know: the other towers.
"""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file

from recsys.encoder.towers.base import TextTower, Tokens, write_weights
from recsys.encoder.towers.bert import Bert, BertSettings

_WEIGHTS = "model.safetensors"
_FILES = (
    "modules.json", "config.json", "sentence_bert_config.json", "config_sentence_transformers.json",
    "1_Pooling/config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "vocab.txt",
)  # fmt: skip
_UNUSED = ("pooler.", "embeddings.position_ids")


class BertTower(TextTower):
    """Tokenizer and :class:`Bert` of one folder; what :meth:`save_files` writes is such a folder again."""

    def __init__(self, folder: Path, settings: BertSettings, *, max_tokens: int) -> None:
        from tokenizers import Tokenizer

        super().__init__()
        self._files = {name: (folder / name).read_bytes() for name in _FILES if (folder / name).is_file()}
        own = json.loads(self._files.get("sentence_bert_config.json", b"{}"))
        self.max_tokens = min(
            max_tokens, own.get("max_seq_length") or max_tokens, settings.max_position_embeddings
        )
        self._lower = bool(own.get("do_lower_case"))
        self._tokenizer = Tokenizer.from_str(self._files["tokenizer.json"].decode())
        self._tokenizer.enable_truncation(self.max_tokens)
        self._tokenizer.enable_padding(pad_id=json.loads(self._files["config.json"]).get("pad_token_id") or 0)
        self.model = Bert(settings)
        state = {k.removeprefix("bert."): v.float() for k, v in load_file(folder / _WEIGHTS).items()}
        self.model.load_state_dict({k: v for k, v in state.items() if not k.startswith(_UNUSED)})
        self.dim = settings.hidden_size

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


def read_settings(folder: Path) -> BertSettings | None:
    """Return the settings of the plain BERT in ``folder``; ``None`` where it is anything else."""
    needed = ("modules.json", "config.json", "1_Pooling/config.json", "tokenizer.json", _WEIGHTS)
    if not all((folder / name).is_file() for name in needed):
        return None
    modules = [m["type"].rsplit(".", 1)[-1] for m in json.loads((folder / "modules.json").read_text())]
    config = json.loads((folder / "config.json").read_text())
    pooling = _pooling(json.loads((folder / "1_Pooling/config.json").read_text()))
    plain = (
        config.get("model_type") == "bert"
        and config.get("hidden_act") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder")
        and modules in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
    )
    if not plain or pooling is None:
        return None
    return BertSettings.read(config, pooling=pooling, normalize=modules[-1] == "Normalize")


def _pooling(config: dict[str, Any]) -> Literal["mean", "cls"] | None:
    modes = {name for name, on in config.items() if name.startswith("pooling_mode_") and on is True}
    if modes == {"pooling_mode_mean_tokens"} or config.get("pooling_mode") == "mean":
        return "mean"
    return "cls" if modes == {"pooling_mode_cls_token"} or config.get("pooling_mode") == "cls" else None
