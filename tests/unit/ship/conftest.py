from tests.support.shipping import logs, make_logs, receiver

__all__ = ["logs", "make_logs", "receiver"]
