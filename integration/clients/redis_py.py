"""redis-py and valkey-py, blocking. See README.md."""

import importlib
import json
import sys
import threading
import time

SETTINGS = json.loads(sys.argv[1])
redis = importlib.import_module(SETTINGS["library"])
sentinel_module = importlib.import_module(SETTINGS["library"] + ".sentinel")
stop = threading.Event()


def say(event, **what):
    print(json.dumps({"event": event, **what}), flush=True)


def wait_for_end():
    sys.stdin.read()
    stop.set()


def options(user, password):
    tls = {"ssl": True, "ssl_ca_certs": SETTINGS["ca"]} if SETTINGS["ca"] else {}
    return {"username": user, "password": password, "socket_timeout": 0.5, **tls}


def main():
    say("version", version=redis.__version__)
    threading.Thread(target=wait_for_end, daemon=True).start()
    sentinel_class = getattr(sentinel_module, "Sentinel")
    sentinel = sentinel_class(
        [tuple(address) for address in SETTINGS["sentinels"]],
        sentinel_kwargs=options(SETTINGS["sentinel_user"], SETTINGS["sentinel_password"]),
        **options(SETTINGS["user"], SETTINGS["password"]),
    )
    master = sentinel.master_for(SETTINGS["master"])
    replica = sentinel.slave_for(SETTINGS["master"])
    base_error = getattr(redis, "RedisError", None) or redis.ValkeyError
    number = 0
    while not stop.is_set():
        number += 1
        doing = "write"
        try:
            master.sadd(SETTINGS["key"], number)
            say("write", n=number)
            if number % 10 == 0:
                doing = "read"
                count = replica.scard(SETTINGS["key"])
                role = replica.execute_command("ROLE")[0]
                say("read", role=role.decode() if isinstance(role, bytes) else role, count=count)
        except base_error as error:
            say("error", **{"while": doing}, error=repr(error))
        time.sleep(0.02)


main()
