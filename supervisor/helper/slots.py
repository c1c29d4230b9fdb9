"""The slots of a launch's program (kernel.program), by name."""

from supervisor.kernel.program import Slot
from supervisor.kernel.zygote import TOLD

#: Where it failed, and the service's PID as PID 1 sees it; the zygote's code knows of both.
AT, CHILD = map(Slot, range(1, 3))
#: Descriptors: the machine's /, as the supervisor sees it, and every path of the host is below it; what masked paths show;
#: the new root; its own /dev, /proc and /sys.
HOST, FOLDER, FILE, ROOT, DEV, PROC, SYS = map(Slot, range(3, 10))
#: And for the time of one step: a place, the one above it, a tree to attach there, anything else.
PLACE, PARENT, TREE, OTHER = map(Slot, range(11, 15))
#: What is told of an account that is to be looked up: a word by which it is known, and the sizes of passwd and group.
ASKED, PASSWD_SIZE, GROUP_SIZE = map(Slot, range(15, 18))
#: What was read back of an identity: three ids, then its groups.
TAKEN = Slot(18)
CAPABILITIES = Slot(21)
#: A struct statx, twice: it begins in the middle of a word the second time.
STAT, SHIFTED = Slot(24), Slot(56)
#: Of each attempt to execute: the execve's result, and the faccessat's.
ATTEMPTS = range(96, TOLD, 2)
#: And what is not told: the names of groups, in 32 bits each; the contents of files.
GROUPS = Slot(TOLD)
TEXT = 1 << 20
PASSWD, GROUP = TEXT, 2 * TEXT
LARGEST_FILE = TEXT
