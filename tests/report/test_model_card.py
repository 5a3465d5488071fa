"""README.md beside an exported network."""

from headstart.report import write_model_card

RECORD = dict(
    arm="pretrained", model="resnet18", classes=["cat", "dog"], weights="imagenet", train_images=45_000, lr=0.001234567
)


def card(folder, record, lines=("x/model.onnx\n  onnxruntime: y",)) -> str:
    used = {"input": "float32 [N, 3, 32, 32]"}
    return write_model_card(folder, run_dir=None, record=record, used=used, lines=list(lines)).read_text()


def test_what_is_known_of_the_run_stands_in_it(tmp_path):
    text = card(tmp_path, RECORD, [f"{tmp_path}/model.onnx\n  onnxruntime: run it"])
    assert text.startswith("---\nlibrary_name: headstart\n") and "\n# pretrained\n" in text
    assert "resnet18 that tells 2 classes apart: cat, dog." in text
    assert "| training pictures | 45,000 |" in text and "| learning rate | 0.00123457 |" in text
    assert "- input: float32 [N, 3, 32, 32]" in text and "- model.onnx onnxruntime: run it" in text
    assert "The weights it started from (imagenet) keep the licence" in text
    assert "\n\n## Limits\n\n" in text and "None" not in text and "\n\n\n" not in text


def test_without_a_run_and_without_weights_nothing_is_made_up(tmp_path):
    text = card(tmp_path, dict(classes=["cat", "dog"]))
    assert "What it was trained from, and on, is not recorded here." in text and "random weights" not in text
    assert "Its test pictures" not in text


def test_names_of_a_foreign_file_forge_no_lines(tmp_path):
    text = card(tmp_path, dict(classes=["a\n# forged", "<script>|"]))
    assert "\n# forged" not in text and "<script>" not in text
    assert card(tmp_path, dict(classes=["cat", "dog"]))
    text = card(tmp_path, dict(classes=["cat", "dog"]))
    assert "\n# " + tmp_path.name.replace("_", "\\_") in text and "Beside the other arms" not in text


def test_what_an_answer_takes_and_what_else_is_told_of_a_file_stand_in_it(tmp_path):
    took = dict(latency_seconds=0.00077, latency_p95_seconds=0.0093, processor="Z80", multiply_adds=11_373_056)
    text = card(tmp_path, RECORD | took, [f"{tmp_path}/model.int8.onnx\n  onnxruntime: run it\n  size: 1 MB\n  more"])
    assert (
        "| latency of an answer | 0.77 ms (95th percentile 9.3 ms): one picture at a time, on one thread of Z80 |"
        in text
    )
    assert "| multiply-adds of an answer | 11,373,056 |" in text
    assert "\n- model.int8.onnx onnxruntime: run it\n  - size: 1 MB\n  - more\n\n## Limits" in text
