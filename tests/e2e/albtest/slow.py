# SPDX-License-Identifier: Apache-2.0
# albtest/slow.py – a door to somebody else's port that lets through so many bytes a second.
#
#     with SlowDoor(site.reflector.port, 500_000) as door:   "https://127.0.0.1:{door.port}"
#         door.rate = 500                                     from now on
#
# What waits stays with its sender, as before a reader that is slow; of a deep one it waits in the
# door, as before a slow line: a kernel takes a window that is shut for 20 s for a death.

import queue
import socket
import threading
import time

PIECE = 8192


class SlowDoor:
    def __init__(self, port, bytes_per_s, is_deep=False):
        self._target, self.rate, self._is_deep = port, bytes_per_s, is_deep
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
            carry = self._carry_deep if self._is_deep else self._carry
            threading.Thread(target=carry, args=(far, near, True), daemon=True).start()

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

    def _carry_deep(self, source, sink, _):
        pieces = queue.Queue()
        threading.Thread(target=self._bring, args=(pieces, sink), daemon=True).start()
        try:
            while piece := source.recv(PIECE):
                pieces.put(piece)
        except OSError:
            pass
        pieces.put(b"")

    def _bring(self, pieces, sink):
        free_at = 0
        try:
            while piece := pieces.get():
                while piece:
                    part, piece = piece[:self.rate], piece[self.rate:]
                    now = time.monotonic()
                    free_at = max(free_at, now) + len(part) / self.rate
                    time.sleep(free_at - now)
                    sink.sendall(part)
            sink.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has gone
