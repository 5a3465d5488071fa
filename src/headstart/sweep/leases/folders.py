"""In which folders the runs of one study lie: one, or with a database server as many as have joined it."""

import uuid
from pathlib import Path

import optuna

from headstart.errors import UserError
from headstart.store import write_atomically
from headstart.sweep.leases.claims import has_server
from headstart.sweep.storage import without_password

OWN_ID = ".study"  # file in a study's folder: which one this is, for the storage
JOINED = "joined_folders"  # user attribute of an arm's Optuna study: ids of the folders beside the first one's


def own_id(folder: Path) -> str:
    """The id of a study's folder, made when it is asked for first."""
    path = folder / OWN_ID
    if not path.exists():
        write_atomically(path, uuid.uuid4().hex.encode())
    return path.read_text(errors="replace")


def admit(study: optuna.Study, folder: Path, url: str, *, joins: bool) -> bool:
    """Refuse a folder that is not the study's, as studies in one database meet by name alone: UserError.

    Return whether it is a further folder, beside the one in which the study began.

    joins: whether the folder may become a further one of the study, where a server keeps its claims.
    """
    own, known = own_id(folder), study.user_attrs.get("folder")
    joined = study.user_attrs.get(JOINED, [])
    if known is None:
        study.set_user_attr("folder", own)
    elif own not in (known, *joined):
        if not (joins and has_server(url)):
            beside = (
                "\nwith hydra.sweeper.elsewhere=join this folder works on it beside that one" if has_server(url) else ""
            )
            raise UserError(
                f"the storage {without_password(url)} holds a study {study.study_name} whose runs are not in "
                f"{folder};\nput its folder back, or start another by name=...{beside}"
            )
        study.set_user_attr(JOINED, [*joined, own])
    return known not in (None, own)
