"""From root to the daemon's account, by which the daemon stops being of any use to whoever takes it over."""

import os
import pwd

from supervisor.kernel import caps, process


def drop_to(user: str) -> None:
    """Give up root for good: account, capabilities, and the way back through setuid programs."""
    os.umask(0o027)
    os.chdir("/")
    alone = not process.may_be_somebody_else()
    caps.limit_bounding(())
    if not alone:
        account = pwd.getpwnam(user)
        process.become(account.pw_uid, account.pw_gid, (account.pw_gid,))
    caps.take_exactly((), root=True)
    process.no_new_privileges()
    process.set_undumpable()
