"""Where an instance keeps its run state when nobody says: one rule, for whoever starts it and whoever asks it."""

import posixpath

_OF_ROOT = "/run/supervisor"


def session_dir(told: str, uid: int) -> str:
    """The folder of a user's login: `told`, which is XDG_RUNTIME_DIR, or where that is not set the one it would name."""
    # The XDG base directory specification has relative paths ignored.
    return told if told.startswith("/") else f"/run/user/{uid}"


def default_runtime_dir(told: str, uid: int, *, root: bool) -> str:
    """`told` and `uid` as above; they do not matter to root."""
    if root:
        return _OF_ROOT
    return posixpath.normpath("/" + posixpath.join(session_dir(told, uid), "supervisor").lstrip("/"))
