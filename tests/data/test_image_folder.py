"""Any tree of images: what is a class and a part, what is split off, what is refused, copies."""

import logging
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from data.helpers_data import THREE, counts, draw_image, make_tree, positions
from headstart.errors import UserError

OWN_TEST = {f"{part}/{name}": n for part, n in (("train", 20), ("test", 4)) for name in ("cat", "dog", "emu")}


class TestFolder:
    def test_given_parts_are_used_as_they_are(self, tmp_path, read):
        root = make_tree(tmp_path / "pictures", THREE)
        ours = read()
        assert ours.classes == ("cat", "dog") and ours.name == "pictures"
        for part, split in (("train", ours.train), ("val", ours.val), ("test", ours.test())):
            files = sorted((root / part).rglob("*.png"))
            assert split.indices.tolist() == list(range(len(files)))
            for path, picture, label in zip(files, split.images, split.labels, strict=True):
                assert np.array_equal(picture, np.asarray(Image.open(path)))
                assert ours.classes[label] == path.parent.name

    @pytest.mark.parametrize(
        ("layout", "expected"),
        [
            ({"cat": 50, "dog": 50}, (72, 8, 20)),
            ({"train/cat": 50, "train/dog": 50}, (72, 8, 20)),
            ({"train/cat": 50, "train/dog": 50, "test/cat": 5, "test/dog": 5}, (90, 10, 10)),
            ({"train/cat": 50, "train/dog": 50, "val/cat": 5, "val/dog": 5}, (80, 10, 20)),
            ({"train": 50, "plane": 50}, (72, 8, 20)),  # a class that is called train
        ],
    )
    def test_parts_that_are_missing_are_split_off_train(self, layout, expected, tmp_path, read):
        make_tree(tmp_path / "pictures", layout)
        ours = read()
        parts = (ours.train, ours.val, ours.test())
        assert tuple(len(part.labels) for part in parts) == expected
        assert all(len(set(counts(part))) == 1 for part in parts)
        pictures = torch.cat([part.images for part in parts]).flatten(1).unique(dim=0)
        assert len(pictures) == sum(expected)
        assert torch.equal(read(split_seed=1).test().indices, ours.test().indices)

    @pytest.mark.parametrize(
        ("layout", "options", "expected"),
        [
            ({"cat": 50, "dog": 50}, {}, (60, 20, 20)),
            ({"cat": 90, "dog": 90}, {}, (114, 30, 36)),
            ({"cat": 90, "dog": 90}, {"train_size": 20}, (20, 30, 36)),
            ({"train/cat": 50, "train/dog": 50, "val/cat": 5, "val/dog": 5}, {}, (80, 10, 20)),
            ({"cat": 50, "dog": 50}, {"folds": 4}, (60, 20, 20)),
        ],
    )
    def test_with_auto_few_pictures_are_validated_on_more_than_a_tenth(self, layout, options, expected, tmp_path, read):
        make_tree(tmp_path / "pictures", layout)
        ours = read(validation_size="auto", **options)
        assert tuple(len(part.labels) for part in (ours.train, ours.val, ours.test())) == expected

    @pytest.mark.parametrize(
        ("layout", "options", "folds"),
        [
            ({"cat": 50, "dog": 50}, {}, 3),
            ({"cat": 80, "dog": 80}, {}, None),  # 128 are for training and validation
            ({"cat": 100, "dog": 3}, {}, None),  # of two dogs each fold would need one
            ({"cat": 50, "dog": 50}, {"train_size": 20}, None),
            ({"cat": 50, "dog": 50}, {"validation_size": 20}, None),
            ({"cat": 50, "dog": 50}, {"validation_size": None}, None),
            ({"train/cat": 20, "train/dog": 20, "val/cat": 5, "val/dog": 5}, {}, None),
        ],
    )
    def test_folds_are_chosen_for_few_pictures_that_nobody_has_split(self, layout, options, folds, tmp_path, read):
        make_tree(tmp_path / "pictures", layout)
        asked = {"validation_size": "auto"} | options
        ours, typed = read(folds="auto", **asked), read(folds=folds, **asked)
        assert ours.folds == folds and ours.sha256 == typed.sha256 and ours.test_sha256 == typed.test_sha256
        if folds is None:
            with pytest.raises(UserError, match=r"data\.fold=1 has no effect without folds"):
                read(folds="auto", fold=1, **asked)
        else:
            others = [read(folds="auto", fold=fold, **asked).val.indices.tolist() for fold in range(folds)]
            assert len({row for rows in others for row in rows}) == 80 == sum(map(len, others))

    def test_of_300_pictures_and_more_auto_is_the_tenth_that_it_was(self, tmp_path, read, caplog):
        make_tree(tmp_path / "pictures", {"cat": 200, "dog": 180})
        with caplog.at_level(logging.INFO):
            assert read(validation_size="auto").sha256 == read().sha256
        assert "validating on" not in caplog.text

    def test_the_files_are_listed_by_what_their_pictures_hold(self, tmp_path, read):
        root = make_tree(tmp_path / "pictures", THREE)
        before = read(classes=["dog", "cat"], train_size=2).files
        files = before.by_name()
        assert set(files) == {str(path.relative_to(root)) for path in root.rglob("*.png")}
        assert len(set(files.values())) == len(files)
        same = Image.open(root / "train/cat/000.png").copy()
        same.save(root / "train/cat/000.png", compress_level=0)  # other bytes, the same picture
        assert read().files.key == before.key
        draw_image(999).save(root / "train/cat/000.png")
        after = read().files.by_name()
        assert {name for name, digest in after.items() if files[name] != digest} == {"train/cat/000.png"}

    @pytest.mark.parametrize("layout", [OWN_TEST, {"cat": 30, "dog": 30, "emu": 30}])
    def test_another_test_picture_is_noticed_though_the_part_is_not_read(self, layout, tmp_path, read):
        root = make_tree(tmp_path / "pictures", layout)
        whole, some = read(), read(classes=["dog", "emu"])
        files = sorted((root / "test").rglob("*.png")) if "test/cat" in layout else sorted(root.rglob("*.png"))
        cats = [int(i) for i in whole.test().indices if "cat" in str(files[i])]
        draw_image(999).save(files[cats[0]])
        changed = read()
        assert changed.sha256 == whole.sha256 and changed.test_sha256 != whole.test_sha256
        assert read(classes=list(some.classes)).test_sha256 == some.test_sha256  # of other classes

    def test_choices_work_as_for_the_other_sources(self, tmp_path, read):
        make_tree(tmp_path / "pictures", {"cat": 30, "dog": 30, "emu": 30})
        ours = read(classes=["emu", "cat"], train_size=10, validation_size=0.5, test_size=0.1)
        assert ours.classes == ("emu", "cat")
        assert counts(ours.train) == [5, 5] and counts(ours.test()) == [3, 3]

    @pytest.mark.parametrize("own_test", [True, False])
    def test_a_validation_part_of_its_own_is_among_the_folds_and_the_test_part_stays(self, own_test, tmp_path, read):
        layout = {k: 3 * n for k, n in THREE.items() if own_test or not k.startswith("test")}
        make_tree(tmp_path / "pictures", layout)
        plain, folded = read(), [read(folds=3, fold=fold) for fold in range(3)]
        assert torch.equal(plain.test().images, folded[2].test().images)
        pictures = torch.cat([data.val.images for data in folded]).flatten(1)
        expected = torch.cat([plain.train.images, plain.val.images]).flatten(1)
        assert len(pictures) == len(expected)
        assert torch.equal(pictures.unique(dim=0), expected.unique(dim=0))
        assert all(len(data.train.labels) + len(data.val.labels) == len(expected) for data in folded)
        with pytest.raises(UserError, match="both given"):
            read(folds=3, validation_size=0.2)

    @pytest.mark.parametrize("key", ["validation_size", "test_size"])
    @pytest.mark.parametrize("size", [0, 0.0, False])
    def test_a_part_of_no_pictures_is_refused(self, tmp_path, read, key, size):
        make_tree(tmp_path / "pictures", {"cat": 10, "dog": 10})
        with pytest.raises(UserError, match=rf"data\.{key}={size} cannot be taken"):
            read(**{key: size})

    def test_a_size_for_a_part_that_is_given_is_refused(self, tmp_path, read):
        make_tree(tmp_path / "pictures", THREE)
        for key in ("validation_size", "test_size"):
            with pytest.raises(UserError, match=rf"data\.{key}=null"):
                read(**{key: 2})

    @pytest.mark.parametrize(
        ("layout", "message"),
        [
            ({}, "holds no folders of images"),
            ({"cat": 0, "dog": 0}, "holds no folders of images"),
            ({"cat": 5}, r"one class \(cat\)"),
            ({"cat": 5, "dog": 0}, "dog holds no images"),
            ({"train/cat": 5}, r"one class \(cat\)"),
            ({"test/cat": 5, "test/dog": 5}, "holds test but no train"),
            ({"val/cat": 5, "val/dog": 5, "test/cat": 5, "test/dog": 5}, "holds val and test but no train"),
            ({"train/cat": 5, "train/dog": 5, "test": 5}, "test holds no images|test.*no class folders"),
            ({"train/cat": 5, "train/dog": 5, "extra/cat": 5, "extra/dog": 5}, "also extra"),
            ({"train/cat": 5, "train/dog": 5, "test/cat": 5}, "class dog is in train but not in test"),
            (
                {"train/cat": 5, "train/dog": 5, "val/cat": 1, "val/dog": 1, "val/emu": 1},
                "emu is in val but not in train",
            ),
            ({"cat": 1, "dog": 5}, "smallest"),
            ({"cat\nx": 5, "dog": 5}, "cannot be printed"),
        ],
    )
    def test_trees_that_cannot_be_used_are_refused(self, layout, message, tmp_path, read):
        (tmp_path / "pictures").mkdir()
        make_tree(tmp_path / "pictures", layout)
        with pytest.raises(UserError, match=message):
            read()

    @pytest.mark.parametrize("name", ["nowhere", "nowhere" * 50])  # the second is too long to be there
    def test_a_root_that_does_not_exist_is_refused(self, name, tmp_path, read):
        with pytest.raises(UserError, match=r"data\.root=.*nowhere is no folder"):
            read(tmp_path / name)

    def test_other_files_hidden_files_and_tool_folders_are_left_out(self, tmp_path, read):
        root = make_tree(tmp_path / "pictures", {"cat": 20, "dog": 20})
        for name in (
            "cat/Thumbs.db",
            "cat/._000.png",
            "README.txt",
            ".git/x.png",
            "__MACOSX/y.png",
            "cat/.cache/z.png",
        ):
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text("no picture")
        (root / "dog/deeper").mkdir()
        draw_image(999).save(root / "dog/deeper/UPPER.PNG")
        ours = read(test_size=4, validation_size=4)
        assert ours.classes == ("cat", "dog")
        assert sum(len(part.labels) for part in (ours.train, ours.val, ours.test())) == 41


class TestSmallSets:
    def test_two_hundred_cats_and_three_dogs_work_by_default(self, tmp_path, read):
        make_tree(tmp_path / "pictures", {"cat": 200, "dog": 3})
        ours = read()
        parts = (ours.train, ours.val, ours.test())
        assert [counts(part)[1] for part in parts] == [1, 1, 1]
        assert [len(part.labels) for part in parts] == [146, 16, 41] and ours.test_images == 41

    def test_many_classes_of_few_pictures_get_one_of_each_in_each_part(self, tmp_path, read):
        make_tree(tmp_path / "pictures", {f"{n:02}": 3 + n % 3 for n in range(20)})
        ours = read()
        assert all(min(counts(part)) >= 1 and len(counts(part)) == 20 for part in (ours.train, ours.val, ours.test()))

    def test_a_class_too_small_for_the_parts_is_named_with_the_command_that_leaves_it_out(self, tmp_path, read):
        make_tree(tmp_path / "pictures", {"ant": 1, "bee": 2, "cat": 9, "dog": 9})
        with pytest.raises(UserError, match=r"ant \(1\), bee \(2\)\.\nAdd .*'data\.classes=\[cat,dog\]'"):
            read()
        assert len(read(classes=["cat", "dog"]).train.labels) > 0
        whole, some = read(classes=["cat", "dog"]), read(classes=["dog", "cat"])
        assert torch.equal(whole.test().indices, some.test().indices)


class TestCopies:
    """THREE: 16 training, 6 validation and 8 test pictures."""

    def tree(self, tmp_path, source, *targets, layout=THREE):
        root = make_tree(tmp_path / "pictures", layout)
        for target in targets:
            Image.open(root / source).save(root / target)  # the same pixels in another kind of file
        return root

    @pytest.mark.parametrize(("part", "called"), [("val", "validation"), ("test", "test")])
    def test_a_few_copies_leave_the_training_part_and_are_named(self, part, called, tmp_path, read, caplog):
        self.tree(tmp_path, "train/cat/001.png", f"{part}/cat/copy.bmp")
        ours = read()
        assert positions(ours.train) == set(range(16)) - {1} and len(ours.val.labels) + len(ours.test().labels) == 15
        assert rf"{called} pictures of" in caplog.text and f"({part}/cat/copy.bmp): 1 of 16 training" in caplog.text
        assert (ours.copies.copies_dropped, ours.copies.copies_kept) == (1, 0)

    @pytest.mark.parametrize("part", ["val", "test"])
    def test_copies_are_kept_or_refused_where_that_is_asked_for(self, part, tmp_path, read):
        self.tree(tmp_path, "train/cat/001.png", f"{part}/cat/copy.bmp")
        kept = read(duplicates="keep")
        assert len(kept.train.labels) == 16 and (kept.copies.copies_dropped, kept.copies.copies_kept) == (0, 1)
        with pytest.raises(UserError, match=rf"(?s){part}/cat/copy\.bmp.*data\.duplicates=drop.*data\.duplicates=keep"):
            read(duplicates="refuse")

    def test_many_copies_are_an_error_until_somebody_says_what_to_do(self, tmp_path, read):
        self.tree(tmp_path, "train/cat/001.png", *(f"test/cat/copy{n}.bmp" for n in range(6)))
        with pytest.raises(UserError, match=r"6 of 14 test pictures .* are exact copies of training pictures"):
            read()
        assert len(read(duplicates="drop").train.labels) == 15

    def test_a_derived_validation_part_has_no_copy_in_training_either(self, tmp_path, read):
        root = make_tree(tmp_path / "pictures", {"train/cat": 40, "train/dog": 40, "test/cat": 4, "test/dog": 4})
        for number in range(8):
            shutil.copy(root / f"train/cat/{number:03}.png", root / f"train/cat/copy{number}.png")
        ours = read(validation_size=0.5)
        known = {picture.numpy().tobytes() for picture in ours.train.images}
        assert ours.copies.copies_dropped > 0 and not any(p.numpy().tobytes() in known for p in ours.val.images)
        assert len(read(validation_size=0.5, train_size=20).train.labels) == 20

    @pytest.mark.parametrize("layout", [{"train/cat": 40, "train/dog": 40, "test/cat": 4, "test/dog": 4}, THREE])
    def test_a_fold_that_validates_has_no_copy_in_those_that_train(self, layout, tmp_path, read):
        root = make_tree(tmp_path / "pictures", layout)
        for number in range(6):
            shutil.copy(root / f"train/cat/{number:03}.png", root / f"train/cat/copy{number}.png")
        dropped = 0
        for fold in range(2):
            ours = read(folds=2, fold=fold)
            known = {picture.numpy().tobytes() for picture in ours.train.images}
            assert not any(picture.numpy().tobytes() in known for picture in ours.val.images)
            dropped += ours.copies.copies_dropped
        assert dropped > 0

    def test_what_test_and_validation_share_stays_and_is_said(self, tmp_path, read, caplog):
        self.tree(tmp_path, "val/cat/001.png", "test/cat/copy.bmp")
        ours = read()
        assert len(ours.val.labels) + len(ours.test().labels) == 15 and ours.copies.copies_kept == 1
        assert "1 of 9 test pictures" in caplog.text and "copies of validation pictures" in caplog.text
        with pytest.raises(UserError, match="are exact copies of validation pictures"):
            read(duplicates="refuse")

    def test_copies_within_train_are_counted_and_no_fault(self, tmp_path, read, caplog):
        caplog.set_level("INFO")
        self.tree(tmp_path, "train/cat/001.png", "train/cat/copy.bmp")
        assert len(read().train.labels) == 17
        assert not [r.message for r in caplog.records if r.levelno >= logging.WARNING]
        assert "same part, which stay: 1 train" in caplog.text

    def test_copies_torn_apart_by_our_own_split_are_refused_where_they_are_many(self, tmp_path, read):
        root = make_tree(tmp_path / "pictures", {"cat": 20, "dog": 20})
        for path in sorted(root.rglob("*.png")):
            shutil.copy(path, path.with_name(f"copy-{path.name}"))
        with pytest.raises(UserError, match="exact copies"):
            read()

    def test_a_picture_in_two_classes_is_an_error_with_what_settles_it(self, tmp_path, read, caplog):
        self.tree(tmp_path, "train/cat/001.png", "train/dog/copy.bmp")
        with pytest.raises(
            UserError, match=r"(?s)2 of 31 .* lie in two classes \(train/cat/001.png, train/dog/copy.bmp"
        ):
            read()
        assert positions(read(duplicates="drop").train) == set(range(17)) - {1, 16}
        assert len(read(duplicates="keep").train.labels) == 17
        assert "kept, as data.duplicates=keep says" in caplog.text

    def test_few_pictures_in_two_classes_leave_training_unasked(self, tmp_path, read):
        layout = {"train/cat": 200, "train/dog": 200, "test/cat": 4, "test/dog": 4}
        self.tree(tmp_path, "train/cat/001.png", "train/dog/copy.bmp", layout=layout)
        ours = read(validation_size=20)
        assert ours.copies.copies_dropped == 2 and not {1, 400} & (positions(ours.train) | positions(ours.val))

    def test_classes_that_are_not_chosen_share_pictures_as_they_like(self, tmp_path, read):
        self.tree(tmp_path, "train/cat/001.png", "train/emu/copy.bmp", layout=OWN_TEST)
        assert read(classes=["cat", "dog"]).copies.copies_dropped == 0

    def test_a_class_that_copies_would_leave_empty_is_an_error(self, tmp_path, read):
        layout = {"train/cat": 8, "train/dog": 2, "test/cat": 4, "test/dog": 1}
        root = self.tree(tmp_path, "train/dog/000.png", "test/dog/0.bmp", layout=layout)
        shutil.copy(root / "train/dog/001.png", root / "test/dog/1.png")
        with pytest.raises(UserError, match=r"without training pictures.*data\.duplicates=keep"):
            read()

    def test_look_alikes_across_parts_are_counted_and_named(self, tmp_path, read, caplog):
        caplog.set_level("INFO")
        root = make_tree(tmp_path / "pictures", THREE)
        smooth = draw_image(5, (4, 4)).resize((64, 64), Image.Resampling.BICUBIC)
        smooth.save(root / "train/cat/smooth.png")
        smooth.save(root / "test/cat/again.jpg", quality=70)
        ours = read(size=64)
        assert ours.copies.look_alikes == 1 and len(ours.train.labels) == 17
        assert "1 of 15 validation and test pictures look like a training picture" in caplog.text
        assert "test/cat/again.jpg and train/cat/smooth.png" in caplog.text
