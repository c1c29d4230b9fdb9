from tests.support.played import played
from tests.support.running import supervise

__all__ = ["played", "supervise"]
