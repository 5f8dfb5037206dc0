"""django-redis with its SentinelClient. See ../README.md."""

import json
import sys
import threading
import time

import django
import django_redis
from django.conf import settings

SETTINGS = json.loads(sys.argv[1])
stop = threading.Event()


def say(event, **what):
    print(json.dumps({"event": event, **what}), flush=True)


def wait_for_end():
    sys.stdin.read()
    stop.set()


def configure():
    options = {
        "CLIENT_CLASS": "django_redis.client.SentinelClient",
        "SENTINELS": [tuple(address) for address in SETTINGS["sentinels"]],
        "SENTINEL_KWARGS": {
            "username": SETTINGS["sentinel_user"],
            "password": SETTINGS["sentinel_password"],
            "socket_timeout": 0.5,
        },
        "CONNECTION_POOL_CLASS": "redis.sentinel.SentinelConnectionPool",
        "CONNECTION_POOL_KWARGS": {"username": SETTINGS["user"], "socket_timeout": 0.5},
        "PASSWORD": SETTINGS["password"] or "",
    }
    cache = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": f"redis://{SETTINGS['master']}/0",
        "OPTIONS": options,
    }
    settings.configure(
        DJANGO_REDIS_CONNECTION_FACTORY="django_redis.pool.SentinelConnectionFactory",
        CACHES={"default": cache},
    )
    django.setup()


def main():
    say("version", version=".".join(map(str, django_redis.VERSION)))
    threading.Thread(target=wait_for_end, daemon=True).start()
    configure()
    from django.core.cache import cache

    number = 0
    while not stop.is_set():
        number += 1
        doing = "write"
        try:
            cache.set("n", number)
            django_redis.get_redis_connection("default", write=True).sadd(SETTINGS["key"], number)
            say("write", n=number)
            if number % 10 == 0:
                doing = "read"
                cache.get("n")
                replica = django_redis.get_redis_connection("default", write=False)
                role = replica.execute_command("ROLE")[0].decode()
                say("read", role=role, count=replica.scard(SETTINGS["key"]))
        except Exception as error:  # those of django-redis, and of redis-py
            say("error", **{"while": doing}, error=repr(error))
        time.sleep(0.02)


main()
