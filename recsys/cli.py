"""The command line: one verb per stage, calling the same ``run`` as the DAG."""


def main() -> None:
    """Run the command line."""
