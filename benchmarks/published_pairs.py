"""Records how well text vectors tell the published test pairs of product_matching_text apart.

    python -m benchmarks.published_pairs

Abt-Buy, Amazon-Google and Walmart-Amazon come with labelled pairs of listings of two shops, and a published
test split of the pairs. Here every listing of a published test pair is of the final test, with all that it is
matched with; what is left is ingested, trained on and decided on in a workspace of its own, otherwise with
``conf/product_matching_text.toml`` as it stands. So the encoders learn from fewer matches than those of the
literature, which train on other pairs of the test listings. ``trained`` is the candidate furthest from the
base, ``chosen`` what the gate let serve.

    roc_auc   of the cosine of two texts, over the labelled test pairs
    hit_at_1  every test listing that has a match searches all listings of the other shop

    N = listings, P = pairs, C = components, S = resamples
"""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.sparse import issparse

from benchmarks.encoders import CHOSEN, compared
from benchmarks.harness import benchmark
from recsys import config
from recsys.catalog.run import run as ingest
from recsys.encoder.template import ContentReader
from recsys.evaluation.baselines import bags_of_words
from recsys.evaluation.candidates import Embedder, candidates_of
from recsys.evaluation.products import Products
from recsys.evaluation.run import run as evaluate
from recsys.metrics.bootstrap import interval
from recsys.training.run import run as train
from recsys.workspace import Manifest, Workspace, open_workspace
from recsys.workspace.snapshot import Snapshot
from recsys.workspace.splits import TEST

CONFIG = "conf/product_matching_text.toml"
TRAINED, BAG_OF_WORDS = "trained", "bag_of_words"
RESAMPLES, CONFIDENCE = 2_000, 0.95

Float64 = NDArray[np.float64]
Ints = NDArray[np.int64]


def measure() -> dict[str, Any]:
    """Return collection → measure → encoder or difference → value with its interval."""
    settings = config.load(CONFIG)
    feed = Path(settings.resolve(settings.catalog.feed))
    pairs = pq.read_table(feed.with_name("pairs.parquet"))
    test = pairs.filter(pc.equal(pairs["split"], "test")).to_pylist()
    root = Path(f"{settings.resolve(settings.workspace.root)}-published")
    root.mkdir(parents=True, exist_ok=True)
    pq.write_table(with_published_test(pq.read_table(feed), test), root / "feed.parquet")
    sections = {
        "catalog": settings.catalog.model_copy(update={"feed": str(root / "feed.parquet")}),
        "workspace": settings.workspace.model_copy(update={"root": str(root)}),
    }
    settings = settings.model_copy(update=sections)
    workspace = open_workspace(settings)
    snapshot = ingest(settings, workspace)
    challenger = train(settings, workspace, snapshot.ref)
    night = evaluate(settings, workspace, snapshot.ref, challenger.ref)
    products = Products.open(workspace, snapshot.ref, challenger.inputs["splits"])
    listed = {id for pair in test for id in (pair["left_id"], pair["right_id"])}
    of_test = dict(zip(products.ids, products.in_split(TEST).tolist(), strict=True))
    assert all(of_test[id] for id in listed), "a listing of a published test pair is not of the final test"
    vectors = text_vectors(settings, workspace, snapshot, night)
    return {
        "decision": night.info["decision"],
        "reasons": night.info["reasons"],
        "chosen": night.info["chosen"],
        "training": challenger.info["counts"],
        "training_s": round(challenger.info["duration_s"]),
        **{
            name: score([p for p in test if p["collection"] == name], name, products, vectors, settings.seed)
            for name in sorted({pair["collection"] for pair in test})
        },
    }


def with_published_test(feed: pa.Table, test: list[dict[str, Any]]) -> pa.Table:
    """Return the feed, whose column ``split`` says ``test`` of the listings of ``test`` and their matches."""
    listed = {id for pair in test for id in (pair["left_id"], pair["right_id"])}
    rows = feed.select(["product_id", "match_group", "split"]).to_pylist()
    groups = {row["match_group"] for row in rows if row["product_id"] in listed}
    # A listing whose first pair is a test pair is of the test; of the others the pack's own word stands.
    split = ["test" if row["match_group"] in groups else row["split"] for row in rows]
    return feed.set_column(feed.column_names.index("split"), "split", pa.array(split))


def text_vectors(
    settings: config.Config, workspace: Workspace, snapshot: Manifest, night: Manifest
) -> dict[str, Any]:
    """Return encoder → unit text vectors ``[N, D]`` of all listings; the bag of words is sparse."""
    catalog = Snapshot.open(workspace, snapshot.ref)
    everything = np.arange(catalog.table(("id",)).num_rows)
    challenger = workspace.get(night.inputs["challenger"])
    furthest = candidates_of(challenger, None, settings.evaluation.wise_ft_alphas)[-1]
    candidates = [*compared(night), replace(furthest, name=TRAINED)]  # whether or not the gate let it serve
    reader = ContentReader(settings.encoder)
    rows = catalog.rows_at(everything, ("id", *reader.columns))
    found: dict[str, Any] = {BAG_OF_WORDS: bags_of_words([reader.read(row).text or "" for row in rows])}
    folder = Path(tempfile.mkdtemp())
    try:
        embedder = Embedder(workspace, snapshot.ref, everything, folder, settings.embedding)
        for candidate in candidates:
            found[candidate.name] = np.array(embedder.embed(candidate)[0].text)
    finally:
        shutil.rmtree(folder)
    return found


def score(
    test: list[dict[str, Any]], collection: str, products: Products, vectors: dict[str, Any], seed: int
) -> dict[str, Any]:
    """Return the measures of one collection's test pairs, and what the chosen encoder differs by."""
    row = {id: i for i, id in enumerate(products.ids)}
    left, right = (np.array([row[pair[side]] for pair in test]) for side in ("left_id", "right_id"))
    is_match = np.array([pair["label"] == 1 for pair in test])
    groups = np.unique(products.values("match_group"), return_inverse=True)[1]
    inside = np.array(products.values("collection")) == collection
    shop_a = np.array(products.values("source_table")) == "A"
    listed = np.unique(np.concatenate([left, right]))
    queries: dict[bool, Ints] = {}
    hits: dict[str, list[Float64]] = {name: [] for name in vectors}
    for of_a in (True, False):
        gallery = np.flatnonzero(inside & (shop_a != of_a))
        asked = listed[(shop_a[listed] == of_a) & np.isin(groups[listed], groups[gallery])]
        queries[of_a] = asked
        for name, text in vectors.items():
            hits[name].append(hit_at_1(text[asked] @ text[gallery].T, groups[asked], groups[gallery]))
    components, codes = np.unique(groups[listed], return_inverse=True)
    component = dict(zip(listed.tolist(), codes.tolist(), strict=True))
    left_of, right_of, query_of = (
        np.array([component[i] for i in rows.tolist()])
        for rows in (left, right, np.concatenate(list(queries.values())))
    )
    times = draws(len(components), seed)
    cosines = {name: pair_cosines(text, left, right) for name, text in vectors.items()}
    of_pairs = pair_weights(times, left_of, right_of)
    aucs = {name: roc_auc(values, is_match, of_pairs) for name, values in cosines.items()}
    weights = np.concatenate([np.ones((1, len(query_of))), times[:, query_of]])
    shares = {n: weights @ np.concatenate(found) / weights.sum(axis=1) for n, found in hits.items()}
    return {
        "num_pairs": len(test),
        "num_matches": int(is_match.sum()),
        "num_listings": len(listed),
        "num_queries": len(query_of),
        "num_components": len(components),
        "roc_auc": with_differences(aucs),
        "hit_at_1": with_differences(shares),
    }


def with_differences(values: dict[str, Float64]) -> dict[str, Any]:
    """Return the interval of each encoder's values ``[1 + S]``, and of the two of ours less each other.

    The first value is that of the sample, the others those of its resamples.
    """
    ours = [name for name in (CHOSEN, TRAINED) if name in values]
    differences = {f"{a} - {b}": values[a] - values[b] for a in ours for b in values if a != b}
    return {
        name: interval(float(v[0]), v[1:], CONFIDENCE)._asdict() for name, v in (values | differences).items()
    }


def draws(num_components: int, seed: int) -> Float64:
    """Return how often each component is drawn in each resample, ``[S, C]``."""
    rng = np.random.default_rng(seed)
    each = np.full(num_components, 1 / num_components)
    return rng.multinomial(num_components, each, size=RESAMPLES).astype(np.float64)


def pair_weights(times: Float64, left: Ints, right: Ints) -> Float64:
    """Return how often each pair of components counts in the sample and in its resamples, ``[1 + S, P]``.

    Of a pair of two components, a resample has as many as the product: the bootstrap of both sides of a
    comparison (Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 2007).
    """
    weights = np.where(left == right, times[:, left], times[:, left] * times[:, right])
    return np.concatenate([np.ones((1, len(left))), weights])


def pair_cosines(text: Any, left: Ints, right: Ints) -> Float64:
    """Return the cosine of each pair ``[P]`` of unit vectors ``[N, D]``, dense or sparse."""
    if issparse(text):
        return np.asarray(text[left].multiply(text[right]).sum(axis=1), np.float64).ravel()
    return np.einsum("pd,pd->p", text[left], text[right], dtype=np.float64)


def hit_at_1(similarity: Any, queries: Ints, gallery: Ints) -> Float64:
    """Return 1 where the most similar of the gallery has the query's group, else 0, per query."""
    dense = similarity.toarray() if issparse(similarity) else similarity
    return (gallery[dense.argmax(axis=1)] == queries).astype(np.float64)


def roc_auc(values: Float64, is_match: NDArray[np.bool_], weights: Float64) -> Float64:
    """Return the area under the ROC curve ``[S]`` of ``values`` ``[P]`` under weights ``[S, P]``; ties half.

    NaN where a resample has no match, or nothing else.
    """
    order = np.argsort(values, kind="stable")
    _, first = np.unique(values[order], return_index=True)
    negative = np.add.reduceat(weights[:, order] * ~is_match[order], first, axis=1)
    positive = np.add.reduceat(weights[:, order] * is_match[order], first, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    with np.errstate(invalid="ignore"):
        area: Float64 = (positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))
    return area


if __name__ == "__main__":
    benchmark("published_pairs", measure, __doc__)
