"""Writes through a failover with redis-py's own Sentinel support, and listens for +switch-master.

    redis_py.py GROUP SENTINEL_PORT...

Prints one JSON document a line: {"event": "write", "n": 1, "port": 6379}, {"event": "error", ...},
{"event": "switch", "payload": "..."}; ends when its standard input is closed.
"""

import json
import sys
import threading
import time

import redis
from redis.sentinel import Sentinel

stop = threading.Event()
lock = threading.Lock()


def say(**what):
    with lock:
        print(json.dumps(what), flush=True)


def wait_for_end():
    sys.stdin.read()
    stop.set()


def listen(port):
    """What an application does that wants to know: subscribe at every sentinel."""
    while not stop.is_set():
        try:
            pubsub = redis.Redis(port=port, socket_timeout=1).pubsub()
            pubsub.subscribe("+switch-master")
            say(event="subscribed", port=port)
            while not stop.is_set():
                message = pubsub.get_message(timeout=0.5)
                if message and message["type"] == "message":
                    say(event="switch", port=port, payload=message["data"].decode())
        except redis.RedisError as error:
            say(event="listen-error", port=port, error=repr(error))
            time.sleep(0.2)


def main():
    group, ports = sys.argv[1], [int(port) for port in sys.argv[2:]]
    say(event="version", version=redis.__version__)
    threading.Thread(target=wait_for_end, daemon=True).start()
    for port in ports:
        threading.Thread(target=listen, args=(port,), daemon=True).start()
    sentinel = Sentinel([("127.0.0.1", port) for port in ports], socket_timeout=0.5)
    say(event="slaves", count=len(sentinel.discover_slaves(group)))
    master = sentinel.master_for(group, socket_timeout=0.5)
    number = 0
    while not stop.is_set():
        number += 1
        try:
            master.sadd("written", number)
            say(event="write", n=number, port=sentinel.discover_master(group)[1])
        except redis.RedisError as error:
            say(event="error", n=number, error=repr(error))
        time.sleep(0.02)


main()
