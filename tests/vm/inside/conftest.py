from tests.support.running import supervise

__all__ = ["supervise"]
