"""The recipe beside what one would write in an afternoon: a plain pytorch-metric-learning script.

    for verb in ingest train evaluate; do recsys --config conf/grocery.toml $verb; done
    python -m benchmarks.reference_pml [--names NAME ...]

``script`` fine-tunes the whole pretrained image backbone and a linear embedder with the settings of the
library's own example ``MetricLossOnly`` (triplets mined by multi-similarity, Adam, 4 images of a class,
random crops), at the backbone's size, for as many seconds as the recipe trained in that workspace. ``frozen
head`` trains the same embedder on the backbone's features, with the recipe's loss and steps. Both see the
same training products and the first label of the config. Every encoder is scored on the final test, on the
same queries; tasks that read text as well read it through the base's text tower.
"""

import logging
import time
from typing import Any, NamedTuple

import numpy as np
import torch
from pytorch_metric_learning.losses import SupConLoss, TripletMarginLoss
from pytorch_metric_learning.miners import MultiSimilarityMiner
from pytorch_metric_learning.samplers import MPerClassSampler
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.catalogs import summary
from benchmarks.encoders import CHOSEN, evaluated, save
from benchmarks.harness import benchmark
from recsys import config
from recsys.encoder.inference import image_features
from recsys.encoder.model import ProductEncoder
from recsys.encoder.preprocess import Preprocess
from recsys.encoder.template import ContentReader
from recsys.encoder.towers.timm_tower import TimmTower
from recsys.evaluation.candidates import BASE, Candidate, untouched_of
from recsys.training import supervision
from recsys.training.data import read_items
from recsys.workspace import Workspace, open_workspace
from recsys.workspace.features import FeatureStore
from recsys.workspace.image_store import ImageStore
from recsys.workspace.snapshot import Snapshot
from recsys.workspace.splits import TEST, TRAIN, read_splits

NAMES = ("grocery", "grocery-openset", "fashion-openset")
_CACHED_SCALE = 1.15
"""Images are decoded once, somewhat larger than they are cropped to."""


class Labelled(NamedTuple):
    """The training images and the class of each."""

    sha256: list[bytes]
    labels: np.ndarray[Any, Any]


class Images(Dataset[tuple[torch.Tensor, int]]):
    """Decoded images, cropped and mirrored at random."""

    def __init__(self, data: Labelled, store: ImageStore, encoder: ProductEncoder) -> None:
        size = encoder.preprocess.image_size
        square = Preprocess(round(_CACHED_SCALE * size), encoder.preprocess.resize_mode)
        self._pixels = torch.stack([square(store.jpeg(sha)) for sha in data.sha256])
        self._labels = data.labels
        crop = v2.RandomResizedCrop(size, scale=(0.16, 1.0), ratio=(0.75, 1.33), antialias=True)
        self._augment = v2.Compose([crop, v2.RandomHorizontalFlip(0.5)])

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        pixels: torch.Tensor = self._augment(self._pixels[row])
        return pixels, int(self._labels[row])


def training_images(settings: config.Config, workspace: Workspace, inputs: dict[str, str]) -> Labelled:
    """Return the images of the training products, each with the code of its product's first label."""
    snapshot = Snapshot.open(workspace, inputs["snapshot"])
    table = read_splits(workspace, inputs["splits"])
    splits = table.column("split").to_pylist()
    components = table.column("component").to_pylist()
    items = read_items(snapshot, ContentReader(settings.encoder), splits, components)
    known = supervision.build(snapshot.table(), splits, settings.training, settings.resolve)
    label = known.labels[next(iter(settings.training.labels))]
    rows = [
        (items.sha256[items.images[at]], label[product])
        for product in np.flatnonzero((np.array(splits) == TRAIN) & (label >= 0))
        for at in range(items.image_starts[product], items.image_starts[product + 1])
    ]
    return Labelled([sha for sha, _ in rows], np.array([code for _, code in rows]))


def script(encoder: ProductEncoder, data: Labelled, store: ImageStore, seconds: float) -> int:
    """Fine-tune backbone and embedder for so many seconds, decoding included; return the steps taken."""
    started = time.monotonic()
    images = Images(data, store, encoder)
    sampler = MPerClassSampler(data.labels, m=4, length_before_new_iter=len(images))
    loader = DataLoader(images, batch_size=32, sampler=sampler, drop_last=True)
    trunk, embedder = encoder.image_tower, encoder.image_projection
    assert isinstance(trunk, TimmTower)
    trunk.requires_grad_(True)
    nn.init.orthogonal_(embedder.weight)
    nn.init.zeros_(embedder.bias).requires_grad_(False)  # so that the scale of features changes no cosine
    optimizer = torch.optim.Adam(
        [{"params": trunk.parameters(), "lr": 1e-5}, {"params": [embedder.weight], "lr": 1e-4}],
        weight_decay=1e-4,
    )
    miner, loss = MultiSimilarityMiner(epsilon=0.1), TripletMarginLoss(margin=0.1)
    trunk.train()
    steps = 0
    while True:
        for pixels, labels in loader:
            if time.monotonic() - started > seconds:
                encoder.eval()
                return steps
            scaled = (pixels.float() / 255 - encoder.mean) / encoder.std
            vectors = embedder(trunk.pool(trunk.model(scaled)))
            optimizer.zero_grad()
            loss(vectors, labels, miner(vectors, labels)).backward()
            optimizer.step()
            steps += 1


def frozen_head(encoder: ProductEncoder, data: Labelled, features: torch.Tensor, steps: int) -> None:
    """Train the embedder alone, on features ``[N, F]`` that were computed once."""
    embedder = encoder.image_projection
    nn.init.orthogonal_(embedder.weight)
    nn.init.zeros_(embedder.bias)
    optimizer = torch.optim.AdamW(embedder.parameters(), lr=1e-3)
    size = min(128, 4 * len(np.unique(data.labels)))
    sampler = MPerClassSampler(data.labels, m=4, batch_size=size, length_before_new_iter=size * steps)
    rows = torch.tensor(list(sampler)).view(steps, size)
    labels, loss = torch.from_numpy(data.labels), SupConLoss(temperature=0.1)
    for batch in rows:
        vectors = functional.normalize(embedder(features[batch]), dim=-1)
        optimizer.zero_grad()
        loss(vectors, labels[batch]).backward()
        optimizer.step()


def compare(name: str) -> dict[str, Any]:
    """Return every task's scores of one catalog: script, frozen head, what the gate chose, untouched."""
    settings = config.load(f"conf/{name}.toml")
    workspace = open_workspace(settings)
    night = workspace.list("evaluations")[-1]
    challenger = workspace.get(night.inputs["challenger"])
    inputs = {role: night.inputs[role] for role in ("snapshot", "splits")}
    store = Snapshot.open(workspace, inputs["snapshot"]).images()
    data = training_images(settings, workspace, inputs)
    seconds, steps = challenger.info["duration_s"], challenger.info["fit"]["steps"]
    torch.manual_seed(settings.seed)
    np.random.seed(settings.seed)

    def base() -> ProductEncoder:
        return ProductEncoder.load(workspace.path(workspace.get(night.inputs["base"])))

    plain, head = base(), base()
    taken = script(plain, data, store, seconds)
    features = image_features(head, data.sha256, store, store=FeatureStore(workspace))
    frozen_head(head, data, torch.from_numpy(features), steps)
    made = {"script": save(workspace, plain), "frozen head": save(workspace, head)}
    refs = {BASE: night.inputs["base"], **made, CHOSEN: night.info["chosen"]}
    candidates = [untouched_of(refs[BASE])]
    candidates += [Candidate(name=n, title=n, ref=ref) for n, ref in refs.items()]
    try:
        with evaluated(settings, workspace, inputs, candidates, TEST) as evaluation:
            tasks = {r.name: summary(r, {}, settings) for r in evaluation.results[TEST]}
    finally:
        for ref in made.values():
            workspace.delete(workspace.get(ref))
    return {
        "num_images": len(data.sha256),
        "num_classes": len(set(data.labels.tolist())),
        "seconds": round(seconds),
        "steps": {"script": taken, "frozen head": steps, "recipe": steps},
        "chosen": night.info["chosen"],
        "tasks": tasks,
    }


def measure(names: list[str]) -> dict[str, Any]:
    """Compare on the named catalogs, or on all."""
    logging.disable(logging.WARNING)
    return {name: compare(name) for name in names or NAMES}


if __name__ == "__main__":
    benchmark("reference_pml", measure, __doc__, names=())
