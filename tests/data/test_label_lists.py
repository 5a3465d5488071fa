"""Labels that stand in a file: data=table, and metadata as Hugging Face's imagefolder has it."""

import json

import pytest
import torch

from data.helpers_data import THREE, draw_image, make_tree
from headstart.data import sources
from headstart.data.label_lists import read_folder, read_table
from headstart.errors import UserError

ROWS = "path,label,split\na.png,cat,train\nb.png,dog,train\nsub/c.png,cat,test\nsub/d.png,dog,test\n"


@pytest.fixture
def pictures(tmp_path):
    make_tree(tmp_path, {"sub": 0})
    for number, name in enumerate(("a", "b", "sub/c", "sub/d")):
        draw_image(number).save(tmp_path / f"{name}.png")
    return tmp_path


def table(folder, text):
    (folder / "labels.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(folder / "labels.csv")


class TestTable:
    def test_pictures_lie_below_the_list_and_parts_are_its_splits(self, pictures):
        found = table(pictures, ROWS)
        assert found.root == pictures and found.name == "labels" and found.classes == ("cat", "dog")
        assert found.parts == {"train": [("a.png", 0), ("b.png", 1)], "test": [("sub/c.png", 0), ("sub/d.png", 1)]}

    @pytest.mark.parametrize(
        "text",
        [
            ROWS.replace("train", "Training").replace(",test", ",TESTING"),
            ROWS.replace(",", ";"),
            ROWS.replace(",", "\t"),
            ROWS.replace("\n", "\r\n"),
            "\ufeff" + ROWS,
            ROWS.replace("path,label,split", "Path, Label , SPLIT"),
            ROWS.replace("path", "file_name").replace("a.png", '"a.png"') + "\n\n",
            ROWS.replace("sub/c", "./sub/../sub/c"),
        ],
    )
    def test_lists_as_people_and_spreadsheets_write_them_are_the_same(self, text, pictures):
        assert table(pictures, text).parts == table(pictures, ROWS).parts

    def test_without_splits_everything_is_training_material(self, pictures):
        found = table(pictures, "path,label\na.png,1\nb.png,2\n" + f"{pictures}/sub/c.png,1\n")
        assert list(found.parts) == ["train"] and found.classes == ("1", "2")
        assert (f"{pictures}/sub/c.png", 0) in found.parts["train"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("file,label\na.png,cat\n", "has no column path; its columns are file, label. Expected path, label"),
            ("path,class\na.png,cat\n", "has no column label; its columns are path, class"),
            ("", "lists no pictures"),
            ("path,label\n", "lists no pictures"),
            (ROWS.replace("a.png", "x.png"), r"1 of 4 pictures are not there \(.*labels.csv, line 2: x.png\)"),
            (ROWS.replace(",test", ",holdout"), "line 4: split 'holdout' is unknown; give train, val or test"),
            (ROWS.replace("b.png,dog,train", "b.png,dog,"), "line 3 has no split, though others have"),
            (ROWS.replace("b.png,dog", "b.png,"), "line 3 has no label"),
            (ROWS.replace("b.png,dog", ",dog"), "line 3 has no path"),
            (ROWS.replace("b.png,dog", "b.png"), "line 3 has 2 values, not 3"),
            (ROWS + "a.png,dog,train\n", r"line 6 and .* line 2 both list a.png, as dog \(train\) and cat \(train\)"),
            (ROWS + "./a.png,cat,test\n", r"both list ./a.png, as cat \(test\) and cat \(train\)"),
            (ROWS.replace("dog", "cat"), r"one class \(cat\)"),
            (ROWS.replace("train", "test"), "holds test but no train"),
            (b"path,label\n\xff.png,cat\n", "it is not UTF-8"),
            ('path,label\n"a.png,cat\n', "line . cannot be read"),
        ],
    )
    def test_mistakes_are_named_by_their_line(self, text, message, pictures):
        with pytest.raises(UserError, match=message):
            table(pictures, text)

    def test_a_row_that_repeats_another_is_left_out_and_said(self, pictures):
        found = table(pictures, ROWS + "a.png,cat,train\n")
        assert len(found.paths) == 4 and found.left_out.line() == "left out, rows that repeat another: 1 (a.png)"

    @pytest.mark.parametrize(("name", "message"), [("", "is a folder; .*data=folder"), ("no.csv", "does not exist")])
    def test_what_is_no_list_is_told(self, name, message, pictures):
        with pytest.raises(UserError, match=message):
            read_table(pictures / name)

    def test_a_list_of_a_tree_is_the_same_data_set_as_the_tree(self, tmp_path):
        root = make_tree(tmp_path / "pictures", THREE)
        lines = [f"{path.relative_to(tmp_path)},{path.parent.name},{path.parts[-3]}" for path in root.rglob("*.png")]
        (tmp_path / "all.csv").write_text("\n".join(["path,label,split", *lines]))
        listed = sources.table(tmp_path / "all.csv", size=12, cache=tmp_path / "cache")  # beside the list: no matter
        ours = sources.folder(root, size=12, cache=tmp_path / "cache")
        assert (listed.sha256, listed.test_sha256) == (ours.sha256, ours.test_sha256)
        assert torch.equal(listed.test().images, ours.test().images) and listed.name == "all"


def metadata(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    else:
        path.write_text("\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]))


class TestMetadata:
    def flat(self, root, *folders):
        for number, folder in enumerate(folders):
            (root / folder).mkdir(parents=True)
            for n in range(4):
                draw_image(10 * number + n).save(root / folder / f"{n}.png")
        return root

    @pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
    def test_each_parts_folder_has_its_own(self, name, tmp_path):
        root = self.flat(tmp_path / "x", "train", "Test")
        for part in ("train", "Test"):
            metadata(root / part / name, [dict(file_name=f"{n}.png", label="ab"[n % 2], text="t") for n in range(4)])
        found = read_folder(root)
        assert found.classes == ("a", "b") and list(found.parts) == ["train", "test"]
        assert found.parts["test"] == [("Test/0.png", 0), ("Test/2.png", 0), ("Test/1.png", 1), ("Test/3.png", 1)]
        assert found.notes[0].startswith(f"labels are those of Test/{name}, train/{name}")

    def test_the_roots_names_parts_by_the_paths_in_it(self, tmp_path):
        root = self.flat(tmp_path / "x", "train", "valid")
        rows = [dict(file_name=f"{part}/{n}.png", label=n % 2) for part in ("train", "valid") for n in range(4)]
        metadata(root / "metadata.jsonl", rows)
        found = read_folder(root)
        assert found.classes == ("0", "1") and {k: len(v) for k, v in found.parts.items()} == {"train": 4, "val": 4}

    def test_rows_within_and_outside_the_parts_are_an_error(self, tmp_path):
        root = self.flat(tmp_path / "x", "train", "images")
        rows = [dict(file_name=f"{f}/{n}.png", label=n % 2) for f in ("train", "images") for n in range(4)]
        metadata(root / "metadata.csv", rows)
        with pytest.raises(UserError, match=r"line 6 has no split, though others have"):
            read_folder(root)
        metadata(root / "metadata.csv", [row | dict(split="train" * (n % 2)) for n, row in enumerate(rows)])
        with pytest.raises(UserError, match=r"line 2 has no split, though others have"):
            read_folder(root)

    def test_pictures_that_it_does_not_list_are_counted_and_named(self, tmp_path):
        root = self.flat(tmp_path / "x", "images")
        metadata(root / "metadata.csv", [dict(file_name=f"images/{n}.png", label="ab"[n % 2]) for n in range(3)])
        found = read_folder(root)
        assert list(found.parts) == ["train"] and len(found.paths) == 3
        assert found.left_out.line() == "left out, pictures that no metadata file lists: 1 (images/3.png)"

    def test_its_labels_win_over_folders_and_that_is_said(self, tmp_path):
        root = make_tree(tmp_path / "x", {"n01": 2, "n02": 2})
        rows = [
            dict(file_name=f"{f}/00{n}.png", label=label)
            for f, label in (("n01", "tench"), ("n02", "fish"))
            for n in (0, 1)
        ]
        metadata(root / "metadata.csv", rows)
        found = read_folder(root)
        assert found.classes == ("fish", "tench")
        assert found.notes == ("labels are those of metadata.csv, whatever the folders are called",)

    @pytest.mark.parametrize("content", ["image_id,dx\n1,nv\n", "file_name,text\n0.png,a cat\n", "\xff\x00", ""])
    def test_one_without_labels_leaves_them_to_the_folders_and_is_named(self, content, tmp_path):
        root = make_tree(tmp_path / "x", {"cat": 2, "dog": 2})
        (root / "metadata.csv").write_bytes(content.encode("latin1"))
        found = read_folder(root)
        assert found.classes == ("cat", "dog")
        assert found.left_out.line() == "left out, metadata files without file_name and label: 1 (metadata.csv)"

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("metadata.csv", "file_name,label\ncat/0.png,cat,\n", "metadata.csv, line 2 has 3 values, not 2"),
            ("metadata.csv", "file_name,label\ncat/0.png,cat\ncat/\xe9.png,cat\n", "it is not UTF-8"),
            ("metadata.csv", 'file_name,label\n"cat/0.png,cat\n', "metadata.csv, line 2 cannot be read"),
            ("metadata.csv", "file_name;label\n", "lists no pictures"),
            ("metadata.jsonl", '{"file_name": "cat/0.png", "label": "c\n', "metadata.jsonl, line 1 is no JSON object"),
            (
                "metadata.jsonl",
                '{"file_name": "a.png", "label": ["x", "y"]}',
                r"line 1: label \['x', 'y'\] is no text or",
            ),
            ("metadata.jsonl", '{"file_name": "a.png", "label": {"x": 1}}', r"line 1: label \{'x': 1\} is no text or"),
        ],
    )
    def test_a_mistake_in_one_with_labels_is_an_error_not_the_folders_labels(self, name, content, said, tmp_path):
        root = make_tree(tmp_path / "x", {"cat": 2, "dog": 2})
        (root / name).write_bytes(content.encode("latin1"))
        with pytest.raises(UserError, match=said):
            read_folder(root)

    def test_one_that_cannot_be_read_is_an_error(self, tmp_path):
        root = make_tree(tmp_path / "x", {"cat": 2, "dog": 2})
        (root / "metadata.csv").symlink_to("nowhere.csv")
        with pytest.raises(UserError, match=r"metadata\.csv cannot be read: No such file"):
            read_folder(root)

    def test_one_without_labels_and_no_class_folders_is_an_error(self, tmp_path):
        draw_image(0).save(tmp_path / "0.png")
        metadata(tmp_path / "metadata.jsonl", [dict(file_name="0.png", text="a cat")])
        with pytest.raises(UserError, match=r"Its metadata.jsonl lacks the columns file_name and label"):
            read_folder(tmp_path)

    def test_parquet_and_missing_pictures_are_errors(self, tmp_path):
        root = self.flat(tmp_path / "x", "images")
        metadata(root / "metadata.csv", [dict(file_name="images/9.png", label="a")])
        with pytest.raises(UserError, match=r"1 of 1 pictures are not there \(.*metadata.csv, line 2: images/9.png"):
            read_folder(root)
        (root / "metadata.parquet").write_bytes(b"")
        with pytest.raises(UserError, match=r"metadata.parquet is not read; write it as metadata.csv"):
            read_folder(root)
