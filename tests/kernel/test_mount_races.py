"""Holds of a root directory whose contents are hostile, also while a launch is under way: whatever link lies in it, and
whenever it gets there, no mount and no folder lands outside, nothing outside is read, and the masks lie on the kernel's
own file systems.

Outside is a tree of canaries: its listing, times and contents stay as they were, and so do the machine's mounts.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.errors import KernelError
from supervisor.helper import accounts
from supervisor.helper.devices import look_at
from supervisor.helper.protocol import Request
from supervisor.helper.steps import MASKED, PROTECTED
from supervisor.kernel import mounts
from tests.support.arena import Act, Mount, Stage, do, flipping, mountinfo, rounds
from tests.support.played import Played
from tests.support.running import job, shell

pytestmark = pytest.mark.kernel

ROUNDS = 1000
SECRET = "root:x:0:0:of the machine:/outside:/bin/sh\n"


class Scene:
    """`root` is the hostile root directory, `source` what is bound in it, `outside` what must not be touched."""

    def __init__(self, folder: Path) -> None:
        self.root, self.outside, self.source, self.mountpoint = (
            folder / name for name in ("root", "outside", "source", "mountpoint")
        )
        for one in (self.root, self.outside, self.source, self.mountpoint):
            one.mkdir()
        for name in ("sub", "new", "proc", "dev", "sys", "etc"):
            (self.outside / name).mkdir()
        (self.outside / "file").write_text(SECRET)
        (self.outside / "etc/passwd").write_text(SECRET)
        (self.source / "file").write_text("bound\n")
        self.ways_out = (
            str(self.outside),
            f"{'../' * 20}{str(self.outside)[1:]}",
            f"/proc/self/root{self.outside}",
        )

    def folder_and_link(self, name: str, target: str, *inside: str) -> tuple[Path, Path]:
        """Two names that are exchanged: a folder with folders and files inside, and a link."""
        real, link = self.root / name, self.root / f"{name}.link"
        if not real.exists():
            real.mkdir(parents=True)
            for one in inside:
                (real / one).touch() if one.startswith("file") else (real / one).mkdir()
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        return real, link

    def bound(self, stage: Stage) -> None:
        do(stage, "bind-root", str(self.root), 0)

    def state(self) -> list[tuple[str, int, int, bytes]]:
        found = []
        for parent, folders, files in os.walk(self.outside):
            for path in (Path(parent, name) for name in sorted([*folders, *files])):
                seen = path.stat()
                content = path.read_bytes() if path.is_file() else b""
                found.append((str(path), seen.st_mtime_ns, seen.st_ino, content))
        return sorted(found)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    (tmp_path / "scene").mkdir()
    return Scene(tmp_path / "scene")


def attack(
    scene: Scene,
    act: Act,
    *pairs: tuple[Path, Path],
    root: Act | None = None,
    verify: Callable[[list[Mount]], None] | None = None,
) -> None:
    """ROUNDS of it: a test is run for each way out."""
    before, mounted = scene.state(), mountinfo()
    with flipping(*pairs):
        rounds(ROUNDS // len(scene.ways_out) + 1, scene.mountpoint, root or scene.bound, act, verify)
    assert scene.state() == before
    assert mountinfo() == mounted


# ── targets of mounts ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", range(3))
@pytest.mark.parametrize(
    ("name", "inside", "target"),
    [
        ("a", ["sub"], "/a/sub"),
        ("a", [], "/a"),
        ("a", [], "/a/new/deep"),
        ("a", ["sub"], "/a/sub/../../a/sub/../new"),
    ],
)
def test_a_folder_is_bound_inside_or_not_at_all(
    scene: Scene, way: int, name: str, inside: list[str], target: str
) -> None:
    pair = scene.folder_and_link(name, scene.ways_out[way], *inside)
    attack(scene, lambda stage: do(stage, "bind", str(scene.source), target, 0, 0), pair)


@pytest.mark.parametrize("way", range(3))
@pytest.mark.parametrize("target", ["/a/file", "/a/file.new"])
def test_a_file_is_bound_inside_or_not_at_all(scene: Scene, way: int, target: str) -> None:
    pair = scene.folder_and_link("a", scene.ways_out[way], "file")
    attack(scene, lambda stage: do(stage, "bind", str(scene.source / "file"), target, 0, 0), pair)


@pytest.mark.parametrize("way", range(3))
def test_a_declared_tmpfs_is_mounted_inside_or_not_at_all(scene: Scene, way: int) -> None:
    pair = scene.folder_and_link("a", scene.ways_out[way], "sub")
    attack(scene, lambda stage: do(stage, "tmpfs", "/a/sub", (), 0), pair)


@pytest.mark.parametrize("way", range(3))
def test_a_kept_layer_in_which_links_were_left_leads_nowhere_else(
    scene: Scene, tmp_path: Path, way: int
) -> None:
    layer = tmp_path / "layer"
    (layer / "upper").mkdir(parents=True)
    (layer / "work").mkdir()
    real, link = scene.folder_and_link("a", scene.ways_out[way], "sub")
    inside = [one.rename(layer / "upper" / one.name) for one in (real, link)]
    attack(
        scene,
        lambda stage: do(stage, "bind", str(scene.source), "/a/sub", 0, 0),
        (inside[0], inside[1]),
        root=lambda stage: do(stage, "overlay-root", str(scene.root), str(layer)),
    )


# ── /dev ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", range(3))
def test_devices_are_made_in_the_containers_own_dev(scene: Scene, way: int) -> None:
    def act(stage: Stage) -> None:
        do(stage, "dev")
        do(stage, "node", "null", 1, 3)
        do(stage, "device", *look_at("/dev/kmsg"))
        do(stage, "link", "fd", "/proc/self/fd")
        do(stage, "mount-dev", "tmpfs", "shm", (), 0)

    pair = scene.folder_and_link("dev", f"{scene.ways_out[way]}/dev")
    attack(scene, act, pair)
    assert [
        *scene.root.joinpath("dev").iterdir(),
        *scene.root.joinpath("dev.link").parent.glob("dev/*"),
    ] == []


# ── masks ──────────────────────────────────────────────────────────────────────────────


def on_their_own(kind: str) -> Callable[[list[Mount]], None]:
    """Masks and read-only views are children of a `kind` file system that is mounted, if any is."""

    def verify(found: list[Mount]) -> None:
        own = {one[0] for one in found if one[one.index("-") + 1] == kind and one[3] == "/"}
        covers = [one for one in found if one[3] in ("/file", "/folder")]
        assert all(one[1] in own for one in covers), found

    return verify


@pytest.mark.parametrize("way", range(3))
@pytest.mark.parametrize(("kind", "parent"), [("proc", "/proc"), ("sysfs", "/sys")])
def test_what_is_masked_is_the_kernels_and_not_the_roots(
    scene: Scene, way: int, kind: str, parent: str
) -> None:
    """Also not a folder of the root's that looks like it: then the real one would lie unmasked beside it."""

    def act(stage: Stage) -> None:
        do(stage, "mount-kernel", kind, parent, mounts.NOSUID | mounts.NODEV | mounts.NOEXEC)
        do(stage, "mask", parent, MASKED[parent])
        if parent == "/proc":
            do(stage, "protect", parent, PROTECTED)

    name = parent[1:]
    pair = scene.folder_and_link(name, f"{scene.ways_out[way]}/{name}")
    fake = scene.root / f"{name}.fake"
    fake.mkdir()
    for one in ("kcore", "keys", "timer_list"):
        (fake / one).touch()
    for one in ("sys", "tty", "acpi", "firmware", "kernel"):
        (fake / one).mkdir()
    attack(scene, act, pair, (scene.root / name, fake), verify=on_their_own(kind))


@pytest.mark.parametrize("way", range(3))
@pytest.mark.parametrize(("kind", "parent"), [("proc", "/proc"), ("sysfs", "/sys")])
def test_proc_and_sys_as_links_are_refused(scene: Scene, way: int, kind: str, parent: str) -> None:
    (scene.root / parent[1:]).symlink_to(f"{scene.ways_out[way]}{parent}")

    def act(stage: Stage) -> None:
        with pytest.raises(KernelError):
            do(stage, "mount-kernel", kind, parent, 0)

    rounds(1, scene.mountpoint, scene.bound, act)


# ── accounts ───────────────────────────────────────────────────────────────────────────


def test_an_account_is_never_read_from_outside(scene: Scene) -> None:
    """/etc/passwd and its folder turn into links, a FIFO, a device, a huge file, a folder."""
    etc = scene.root / "etc"
    etc.mkdir()
    (etc / "passwd").write_text("inside:x:4242:4243::/inside:/bin/sh\n")
    kinds = [etc / name for name in ("fifo", "link", "up", "folder", "huge", "device")]
    os.mkfifo(kinds[0])
    kinds[1].symlink_to(scene.outside / "file")
    kinds[2].symlink_to(f"{'../' * 20}{str(scene.outside)[1:]}/file")
    kinds[3].mkdir()
    with kinds[4].open("wb") as huge:
        huge.truncate(1 << 40)
    os.mknod(kinds[5], 0o020666, os.makedev(1, 5))  # /dev/zero
    link = scene.root / "etc.link"
    link.symlink_to(scene.outside / "etc")
    pairs = [(etc / "passwd", one) for one in kinds for _ in range(2)]

    def act(stage: Stage) -> None:
        found = accounts.look_up(stage.root, "4242", ())
        assert found.home in ("/", "/inside"), found
        with pytest.raises(KernelError):
            accounts.look_up(stage.root, "root", ())

    attack(scene, act, *pairs)
    attack(scene, act, (etc, link))


# ── with the real helper ───────────────────────────────────────────────────────────────

PYTHON = "/usr/bin/python3"
#: In a container that shares the other's root directory as a volume.
ENEMY = """
import ctypes, itertools, os, sys
libc = ctypes.CDLL(None)
os.chdir("/volume")
names = sys.argv[1:]
for turn in itertools.count():
    for name in names:
        libc.renameat2(-100, name.encode(), -100, (name + ".link").encode(), 2)
    if turn == 1:
        print("flipping", flush=True)
"""
STARTS = 60


@pytest.mark.skipif(not os.path.exists(PYTHON), reason=f"no {PYTHON} on this machine")
@pytest.mark.parametrize("way", range(3))
def test_a_container_whose_root_another_one_turns_over_stays_inside(
    played: Callable[..., Played], busybox_root: Path, scene: Scene, way: int
) -> None:
    scene.root.rmdir()
    busybox_root.rename(scene.root)
    names = ["proc", "sys", "dev", "etc", "srv"]
    for name in names:
        scene.folder_and_link(name, f"{scene.ways_out[way]}/{name}", *(["deep"] if name == "srv" else []))
    volume = {"type": "bind", "source": scene.root, "target": "/volume"}
    bound = {"type": "bind", "source": scene.source, "target": "/srv/deep"}
    victim = shell(
        "cat /etc/passwd; echo ran", rootfs=scene.root, rootfs_mode="direct", workdir="/srv", mounts=[bound]
    )
    play = played({"enemy": job(PYTHON, "-c", ENEMY, *names, mounts=[volume]), "victim": victim})
    before, mounted = scene.state(), mountinfo()
    play.launch("enemy")
    play.until("started", "refused")
    while b"flipping" not in play.output("enemy"):
        play.settle()
    ends = set()
    for _ in range(STARTS):
        play.launch("victim")
        ends.add(play.until("refused", "ended").what)
        assert SECRET.encode() not in play.output("victim")
    play.ask(Request("kill", "enemy", 1))
    play.until("ended")
    assert ends <= {"refused", "ended"}
    assert scene.state() == before
    assert mountinfo() == mounted
