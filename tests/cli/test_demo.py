"""`enrapt demo` in a process of its own."""

import msgspec

from enrapt.realtime.engine.estimate import Estimate


def test_it_writes_estimates_and_a_plot(enrapt, face_model, tmp_path):
    done = enrapt("demo", "--face-model", face_model, "--offline")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "enrapt-demo"
    assert sorted(path.name for path in folder.iterdir()) == ["engagement.png", "estimates.jsonl"]
    assert str(folder.name) in done.stdout
    assert (folder / "engagement.png").read_bytes().startswith(b"\x89PNG")

    lines = (folder / "estimates.jsonl").read_bytes().splitlines()
    estimates = [msgspec.json.decode(line, type=Estimate) for line in lines]
    assert [e.tick for e in estimates] == list(range(len(estimates)))
    assert all(0 <= e.engagement.low <= e.engagement.mean <= e.engagement.high <= 1 for e in estimates)
    # The clip hides the face for about three seconds, and later the sound, never both.
    for modality in ("face", "audio"):
        missing = sum(not e.present[modality] for e in estimates) / 25
        assert 2 < missing < 4.5
    assert all(any(e.present.values()) for e in estimates)


def test_a_folder_that_cannot_be_made(command, face_model, tmp_path):
    (tmp_path / "file").touch()
    done = command("demo", "-o", "file/folder", "--face-model", face_model)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "another folder" in line
