"""aioredis 2.0. See ../README.md."""

import asyncio
import json
import sys

# Python 3.11 made these one class, and aioredis has a class that inherits from both.
real, asyncio.TimeoutError = asyncio.TimeoutError, type("Unlike", (Exception,), {})
import aioredis
from aioredis.sentinel import Sentinel

asyncio.TimeoutError = real

SETTINGS = json.loads(sys.argv[1])


def say(event, **what):
    print(json.dumps({"event": event, **what}), flush=True)


def options(user, password):
    return {"username": user, "password": password, "socket_timeout": 0.5}


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
                say("read", role=role.decode(), count=count)
        except (aioredis.RedisError, asyncio.TimeoutError, OSError) as error:
            say("error", **{"while": doing}, error=repr(error))
        await asyncio.sleep(0.02)


async def main():
    say("version", version=aioredis.__version__)
    working = asyncio.create_task(work())
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await asyncio.wait([working, ended], return_when=asyncio.FIRST_COMPLETED)
    if working.done():
        working.result()


asyncio.run(main())
