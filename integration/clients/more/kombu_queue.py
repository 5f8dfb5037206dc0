"""kombu, what celery talks to a `sentinel://` broker with: each number goes through a queue first. See ../README.md."""

import json
import sys
import threading
import time

import kombu

SETTINGS = json.loads(sys.argv[1])
stop = threading.Event()


def say(event, **what):
    print(json.dumps({"event": event, **what}), flush=True)


def wait_for_end():
    sys.stdin.read()
    stop.set()


def connect():
    access = ""
    options = {"master_name": SETTINGS["master"], "socket_timeout": 0.5}
    if SETTINGS["password"]:
        access = f"{SETTINGS['user'] or ''}:{SETTINGS['password']}@"
    if SETTINGS["sentinel_password"]:
        options["sentinel_kwargs"] = {
            "username": SETTINGS["sentinel_user"],
            "password": SETTINGS["sentinel_password"],
        }
    url = ";".join(f"sentinel://{access}{host}:{port}" for host, port in SETTINGS["sentinels"])
    return kombu.Connection(url, transport_options=options)


def main():
    say("version", version=kombu.__version__)
    threading.Thread(target=wait_for_end, daemon=True).start()
    connection = queue = None
    number = 0
    while not stop.is_set():
        number += 1
        try:
            if queue is None:
                connection = connect()
                queue = connection.SimpleQueue(SETTINGS["key"] + ":queue")
            queue.put({"n": number})
            queue.get(timeout=2).ack()
            client = queue.channel.client
            client.sadd(SETTINGS["key"], number)
            say("write", n=number)
            if number % 10 == 0:
                role = client.execute_command("ROLE")[0].decode()
                say("read", role=role, count=client.scard(SETTINGS["key"]))
        except Exception as error:  # those of kombu, of redis-py, and of the queue
            say("error", **{"while": "write"}, error=repr(error))
            try:
                connection.close()
            except Exception:
                pass
            queue = None
        time.sleep(0.02)


main()
