# SPDX-License-Identifier: Apache-2.0
# albtest/slow.py – a door to somebody else's port that lets through so many bytes a second.
#
#     with SlowDoor(site.reflector.port, 500_000) as door:   "https://127.0.0.1:{door.port}"
#         door.rate = 500                                     from now on

import socket
import threading
import time

PIECE = 8192


class SlowDoor:
    def __init__(self, port, bytes_per_s):
        self._target, self.rate = port, bytes_per_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}"

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # the block is left
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()  # nobody is there just now
                continue
            threading.Thread(target=self._carry, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, True), daemon=True).start()

    def _carry(self, source, sink, is_slow):
        """Until either side ends; then both do."""
        try:
            while piece := source.recv(min(PIECE, self.rate) if is_slow else PIECE):
                sink.sendall(piece)
                if is_slow:
                    time.sleep(len(piece) / self.rate)
        except OSError:
            pass
        for sock in (source, sink):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
