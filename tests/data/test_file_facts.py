"""What is kept of the files of a data set: sizes, places, what was left out."""

import shutil

import numpy as np
from PIL import Image

from data.helpers_data import draw_image, make_tree


def test_sizes_places_and_what_was_left_out_are_those_of_the_files(tmp_path, read):
    root = make_tree(tmp_path / "pictures", {f"{p}/{c}": 6 for p in ("train", "val", "test") for c in ("cat", "dog")})
    draw_image(900, (31, 17)).save(root / "train/dog/wide.png")
    shutil.copy(root / "train/cat/000.png", root / "train/cat/again.png")
    (root / "notes.txt").write_text("x")
    data = read()
    facts, names = data.seen, data.files.names
    for part, split in (("train", data.train), ("val", data.val), ("test", data.test())):
        files = [names[place] for place in facts.places[part]]
        assert all(name.startswith(f"{part}/") for name in files) and len(files) == len(split.labels)
        assert [data.classes[label] for label in split.labels] == [name.split("/")[1] for name in files]
        for name, place in zip(files, facts.places[part], strict=True):
            with Image.open(root / name) as picture:
                assert tuple(facts.sizes[place]) == picture.size
    assert facts.left_out == {"files that are no pictures": ["notes.txt"]}
    assert facts.repeats == {"train": 1} and facts.two_classes == 0
    a, b = names.index("train/cat/000.png"), names.index("train/cat/again.png")
    assert facts.same[a] == facts.same[b] and np.sum(facts.same == facts.same[a]) == 2
    assert facts.said == ("exact copies of other pictures of the same part, which stay: 1 train",)
