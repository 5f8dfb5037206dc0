"""redis-py, asyncio. See README.md."""

import asyncio
import json
import sys

import redis
from redis.asyncio.sentinel import Sentinel

SETTINGS = json.loads(sys.argv[1])


def say(event, **what):
    print(json.dumps({"event": event, **what}), flush=True)


def options(user, password):
    tls = {"ssl": True, "ssl_ca_certs": SETTINGS["ca"]} if SETTINGS["ca"] else {}
    return {"username": user, "password": password, "socket_timeout": 0.5, **tls}


async def work():
    sentinel = Sentinel(
        [tuple(address) for address in SETTINGS["sentinels"]],
        sentinel_kwargs=options(SETTINGS["sentinel_user"], SETTINGS["sentinel_password"]),
        **options(SETTINGS["user"], SETTINGS["password"]),
    )
    master = sentinel.master_for(SETTINGS["master"])
    replica = sentinel.slave_for(SETTINGS["master"])
    number = 0
    while True:
        number += 1
        doing = "write"
        try:
            await master.sadd(SETTINGS["key"], number)
            say("write", n=number)
            if number % 10 == 0:
                doing = "read"
                count = await replica.scard(SETTINGS["key"])
                role = (await replica.execute_command("ROLE"))[0]
                say("read", role=role.decode() if isinstance(role, bytes) else role, count=count)
        except redis.RedisError as error:
            say("error", **{"while": doing}, error=repr(error))
        await asyncio.sleep(0.02)


async def main():
    say("version", version=redis.__version__)
    working = asyncio.create_task(work())
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await asyncio.wait([working, ended], return_when=asyncio.FIRST_COMPLETED)
    if working.done():
        working.result()


asyncio.run(main())
