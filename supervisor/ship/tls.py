"""TLS as a client: who is believed, and who we are. Made from PEM texts; no file is opened by its path."""

import os
import ssl

from supervisor.core.sinks import Sink


def context(sink: Sink) -> ssl.SSLContext:
    """Raises ssl.SSLError (an OSError) or ValueError where the texts are none."""
    made = ssl.create_default_context(cadata=sink.ca_file or None)
    if sink.cert_file:
        # OpenSSL takes a certificate of its own from a file only: one in memory, which has no path but ours.
        memory = os.memfd_create("certificate")
        with os.fdopen(memory, "wb", buffering=0) as file:
            file.write(f"{sink.cert_file}\n{sink.key_file}\n".encode())
            made.load_cert_chain(f"/proc/self/fd/{memory}")
    return made
