"""Drives a monitor with QEMU's own client and prints what the client saw."""

import asyncio
import sys

from qemu.qmp import ExecuteError, QMPClient, Runstate


async def attempt(client, command, arguments=None, oob=False):
    """Prints what a command returns."""
    try:
        print(command, await client.execute(command, arguments, oob=oob))
    except ExecuteError as error:
        print(command, "failed:", error.error_class, "/", error)


async def first_visit(path):
    """Commands, events, errors, out of band, many at once."""
    client = QMPClient("first")
    await client.connect(path)
    print("greeting", client.greeting._asdict())
    await attempt(client, "query-status")
    with client.listener() as listener:
        for command in ["stop", "cont", "system_powerdown"]:
            await attempt(client, command)
            print("event", await listener.get())
    with client.listener(("RESUME",)) as listener:
        await attempt(client, "stop")
        await attempt(client, "cont")
        print("filtered", await listener.get())
    await attempt(client, "query-name")
    await attempt(client, "query-name", {"bogus": [1, {"x": None}]})
    await attempt(client, "no-such-command", {"ü": "\u20ac \U0001f600 \0"})
    await attempt(client, "migrate-pause", oob=True)
    await attempt(client, "query-status", oob=True)
    await attempt(client, "qmp_capabilities")
    replies = await asyncio.gather(*(client.execute("query-name") for _ in range(200)))
    print(sum(reply == {"name": "vm1"} for reply in replies), "in order")
    print("raw", await client._raw({"execute": "query-name", "id": "\\\"'"}, assign_id=False))
    await client.disconnect()


async def second_visit(path):
    """Comes back, is greeted anew, and ends the machine."""
    client = QMPClient("second")
    await client.connect(path)
    with client.listener(("SHUTDOWN",)) as listener:
        await attempt(client, "quit")
        print("event", await listener.get())
    while client.runstate == Runstate.RUNNING:
        await client.runstate_changed()
    try:
        await client.disconnect()
    except EOFError:
        print("hung up")
    # A machine that is gone takes nobody.
    try:
        await QMPClient("late").connect(path)
        print("connected to the dead")
    except Exception as error:
        print("refused:", type(error).__name__)


async def main(path):
    await first_visit(path)
    await second_visit(path)


asyncio.run(asyncio.wait_for(main(sys.argv[1]), 50))
