"""The retrieval tasks of a catalog for which nobody configured any.

Does not know: snapshots' files, vectors.
"""

from recsys.config.evaluation import TaskConfig
from recsys.evaluation.products import Products


def default_tasks(products: Products) -> tuple[list[TaskConfig], list[str]]:
    """Return the three default tasks as far as the catalog has what they ask, and notes on the others."""
    tasks, notes = [], []
    if products.has("item_group_id"):
        tasks.append(
            TaskConfig(
                name="variants", title="A product finds its variants", relevant=("item_group_id",),
                metrics=("map@r", "r_precision", "precision@1", "recall@5", "recall@10", "ndcg@10"),
                gate=True,
            )
        )  # fmt: skip
    else:
        notes.append("No product has an item group, so there is no task of variants.")
    if products.has("product_type"):
        tasks.append(
            TaskConfig(
                name="category", title="A product finds products of its type", relevant=("product_type",),
                metrics=("map@r", "r_precision", "precision@1", "hit@5", "precision@10", "ndcg@10"),
                gate=True,
            )
        )  # fmt: skip
    else:
        notes.append("No product has a product_type, so there is no task of categories.")
    tasks.append(
        TaskConfig(
            name="words", title="A product's text finds its picture", kind="text_to_image", relevant=("id",),
            metrics=("map@r", "recall@1", "recall@5", "recall@10", "ndcg@10"), main_metric="recall@10",
            gate=True,
        )
    )  # fmt: skip
    return tasks, notes
