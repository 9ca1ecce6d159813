from pathlib import Path

from recsys.machine import available_cores, gpu_names, memory_gib


def test_the_machine(tmp_path: Path) -> None:
    assert available_cores() >= 1
    assert memory_gib() > 0
    assert gpu_names(tmp_path) == []
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0" / "information").write_text("Model: \t\t NVIDIA H100\nIRQ: 1\n")
    assert gpu_names(tmp_path) == ["NVIDIA H100"]
