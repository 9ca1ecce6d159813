"""A file of weights names its model, and holds that model's tensors."""

from pathlib import Path

import pytest
import timm
from safetensors.torch import save_file

from recsys.errors import InputError
from recsys.proposal.backbone import find_backbone

NAME = "test_efficientnet"


def write(path: Path, **options: object) -> Path:
    save_file(timm.create_model(NAME, pretrained=False, **options).state_dict(), path)
    return path


def test_the_files_name_says_which_model(tmp_path: Path) -> None:
    found = find_backbone(write(tmp_path / f"{NAME}_tf2_in1k.safetensors"))
    assert (found.name, found.from_tensorflow, found.num_features) == (NAME, True, 256)
    found = find_backbone(write(tmp_path / "model.safetensors", num_classes=0), NAME)
    assert (found.name, found.from_tensorflow) == (NAME, False)


@pytest.mark.parametrize(
    ("file", "name", "says"),
    [
        ("model.safetensors", None, "No timm model's name begins model.safetensors"),
        ("model.safetensors", "resnet9000", "No timm model is called 'resnet9000'"),
        ("model.safetensors", "test_vit", "lacks"),
        ("broken.safetensors", NAME, "not a readable safetensors file"),
    ],
)
def test_weights_that_fit_no_model_are_refused(
    file: str, name: str | None, says: str, tmp_path: Path
) -> None:
    write(tmp_path / "model.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0not json at all!")
    with pytest.raises(InputError, match=says):
        find_backbone(tmp_path / file, name)
