"""A study of two arms with numbers that can be worked out by hand, and how it is made unfair."""

from store.helpers_store import epoch_row

from headstart.store import append_epoch, read_run, write_json

LRS = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5]
VALS = [None, 80.0, 84.0, 70.0, 30.0]  # the first one DIVERGED; within 1 point of 84: 0.25 + 1 / 14 decades
A, B = [90.0, 91.0, 92.0, 93.0, 94.0], [88.0, 89.5, 90.0, 91.5, 92.0]  # differences 2, 1.5, 2, 1.5, 2
IMAGES = 10**14  # tested on: so many that the luck of their choice is nothing beside the seeds'
SPACE = {"lr": {"low": 1e-5, "high": 1e-1, "log": True, "step": None}}
FACTS = dict(study="s", model="cnn", data="digits", train_size=50, lr=1e-3, epochs=4, seed=0, data_sha256="d")
FACTS |= dict(device="cpu", threads=1, parameters=10, classes=list("abcde"))


def run(root, place, *, curve=(20.0, 60.0, 71.0, 84.0), pace=1.0, state="COMPLETE", images=IMAGES, **values):
    """A run's files; `pace`: training seconds per epoch, `state`: None leaves it without a result, `images`: tested."""
    folder = root / place
    folder.mkdir(parents=True)
    facts = FACTS | values
    write_json(folder / "run.json", {k: v for k, v in facts.items() if k not in ("test_accuracy", "val_accuracy")})
    curve = () if curve is None else curve
    if state:
        result = dict(state=state, epochs_run=len(curve), best_epoch=len(curve) or None)
        result |= dict(seconds_train=pace * len(curve), test_reads=0)
        if "test_accuracy" in values:
            right = round(images / 100 * values["test_accuracy"])
            result |= dict(test_reads=1, confusion=[[right, images - right, 0, 0, 0], *[[0] * 5] * 4])
            result |= {f"test_{k}_macro": values["test_accuracy"] - 1 for k in ("precision", "recall", "f1")}
        write_json(folder / "result.json", facts | result)
    for epoch, accuracy in enumerate(curve, 1):
        append_epoch(folder, epoch_row(epoch, val_accuracy=accuracy, seconds_total=pace * epoch))
    return folder


def search(root, arm, vals=VALS, lrs=LRS, states=None, **values):
    for number, (lr, val) in enumerate(zip(lrs, vals, strict=True)):
        state = states[number] if states else "COMPLETE" if val is not None else "DIVERGED"
        own = dict(arm=arm, phase="search", number=number, lr=lr, params={"lr": lr}, val_accuracy=val)
        run(root, f"{arm}/search/{number:03d}", state=state, **(dict(curve=(84.0,)) | own | values))


def confirm(root, arm, scores, number=2, **values):
    for seed, score in enumerate(scores, 1):
        own = dict(arm=arm, phase="confirm", number=number, seed=seed, val_accuracy=84.0)
        scored = {} if score is None else dict(test_accuracy=score)
        state = "COMPLETE" if score is not None else "DIVERGED"
        run(root, f"{arm}/confirm/{number:03d}/seed-{seed}", **(dict(state=state) | own | scored | values))


def describe_study(root, *names, spaces=None, **changed):
    """Leave a study.json of these arms in `root`, which is made."""
    root.mkdir(exist_ok=True)
    spaces = {name: SPACE for name in names} if spaces is None else spaces
    study = dict(name="s", command="headstart -m name=s", n_trials=5, confirm_seeds=5, seed=0, arm_order=names)
    study |= dict(spaces=spaces, unpruned=True, sampler="decades", experiment=None, common={}, arms={})
    write_json(root / "study.json", study | changed)


def result_of(folder, **changed):
    """Change a result, as a run that ended otherwise would have left it."""
    result = {k: v for k, v in read_run(folder).items() if not k.startswith("test_")}
    write_json(folder / "result.json", result | changed)


def row_of(frame, **where):
    for name, value in where.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def said(found, *words):
    """The caveats that hold all of these words."""
    return [caveat for caveat in found.caveats if all(word in caveat.text for word in words)]
