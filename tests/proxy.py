"""A TCP proxy in front of RabbitMQ that can hold back confirms.

with Proxy(rabbit.port) as proxy:
    proxy.hold_confirms(1)     # the next basic.ack stays here, whatever else flows
    ...
    proxy.release()            # now it is sent, if its connection still stands
"""

import contextlib
import socket
import struct
import threading

BASIC_ACK = struct.pack(">HH", 60, 80)


class Proxy:
    def __init__(self, port: int):
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._to_hold = 0
        self._held: list[tuple[socket.socket, bytes]] = []
        self._sockets: list[socket.socket] = []
        self.connections = 0

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for each in self._sockets:
            each.close()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    @property
    def held(self) -> int:
        return len(self._held)

    def hold_confirms(self, count: int) -> None:
        with self._lock:
            self._to_hold = count

    def release(self) -> None:
        with self._lock:
            for client, frame in self._held:
                with contextlib.suppress(OSError):
                    client.sendall(frame)
            self._held.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._to))
            self._sockets += [client, server]
            self.connections += 1
            threading.Thread(target=self._copy, args=(client, server), daemon=True).start()
            threading.Thread(target=self._copy_frames, args=(server, client), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _copy_frames(self, source: socket.socket, target: socket.socket) -> None:
        stream = source.makefile("rb")
        with contextlib.suppress(OSError, struct.error):
            while head := stream.read(7):
                size = struct.unpack(">BHI", head)[2]
                frame = head + stream.read(size + 1)
                with self._lock:
                    if head[0] == 1 and frame[7:11] == BASIC_ACK and self._to_hold:
                        self._to_hold -= 1
                        self._held.append((target, frame))
                        continue
                target.sendall(frame)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
