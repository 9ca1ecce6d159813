"""The sample tower's weights and their model card, which come with the package."""

from pathlib import Path

SAMPLE_WEIGHTS = Path(__file__).with_name("sample.safetensors")
"""What ``pretrained = "sample"`` stands for. Encoders and training plans are named by what is in it."""
