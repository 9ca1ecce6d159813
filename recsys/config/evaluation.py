"""Settings of the evaluation stage: metrics, retrieval tasks, the gate."""

from recsys.config.base import Section


class EvaluationConfig(Section):
    """How candidates are judged."""
