"""The evaluation stage's door: judge the candidates of a night and decide which encoder serves.

``run`` writes one artifact of kind ``evaluations`` with ``evaluation.json``; ``judge`` the same for one
encoder without a gate. Every figure lies in 0 to 1, every ``low``/``high`` is a bootstrap interval.

    {
      "version": 1,
      "snapshot": "snapshots/…", "splits": "splits/…" or null, "confidence": 0.95,
      "image_weight": 0.5,                        of fused tasks and of the examples
      "reference": "champion",                    the candidate to beat: champion, or base on the first night
      "challenger": "wise-0.50",                  picked on the validation split; may be base or tuned
      "decision": "promote" or "keep",            keep: the champion stays (judge: null)
      "chosen": {"name": "champion", "ref": "encoders/…"},
      "reasons": ["…"],                           sentences, the decisive one first
      "notes": ["…"],                             what was sampled, skipped or left out
      "gate": {                                   null where nothing could be compared
        "tasks": ["variants", "category", "words"],  their main metrics' mean is the gate score
        "checks": [{"name": "overall", "kind": "overall" | "task" | "category", "num_queries": 812,
                    "difference": 0.02, "low": 0.01, "high": 0.03, "limit": -0.005, "passed": true}],
      },
      "candidates": [{                            champion (if any), base, tuned, wise-<alpha> …
        "name": "tuned", "title": "Fine-tuned tonight", "ref": "encoders/…" or null, "alpha": null,
        "error": null or "why it could not be judged",
        "validation_score": 0.41 or null,         gate score on validation: by this the challenger is picked
        "score": {"value": 0.40, "low": 0.38, "high": 0.42} or null,   gate score on the judged queries
        "duration_s": 12.3}],
      "tasks": [{
        "name": "variants", "title": "…", "kind": "item" | "text_to_image",
        "modality": "image" | "text" | "fused", "image_weight": 0.5 or null, "gate": true,
        "metrics": ["map@r", …], "main_metric": "map@r", "by": "product_type" or null,
        "num_queries": 812, "num_components": 400, "num_without_answer": 31, "num_gallery": 6000,
        "figures": {"tuned": {"map@r": {"value": 0.40, "low": 0.38, "high": 0.42}, …}, …},
        "differences": {"tuned": {"map@r": {"difference": 0.02, "low": 0.01, "high": 0.03}, …}, …},
                                                  to the reference; the reference itself is not in it
        "categories": [{"name": "Shoes", "num_queries": 40, "figures": {"tuned": 0.44, …}}]}],
                                                  main metric, most queries first
      "examples": [{
        "id": "P0012", "category": "Shoes" or null, "why": "lost most" | "gained most" | "typical",
        "change": 0.2 or null,                    of the first gating task's main metric for this product
        "neighbours": {"reference": [{"id": "P0099", "score": 0.91, "image_score": 0.95,
                                      "text_score": 0.87, "relevant": true}], "challenger": […]}}]
    }

``relevant`` of a neighbour is by the first gating item task. Where no challenger could be picked,
``challenger`` is null and ``neighbours`` has ``reference`` only. A task that no candidate could be judged
on has empty ``figures``.
"""
