"""The floor: the same requests from a bare aiohttp script, not streamed, nothing kept but the count of right answers.

python benchmarks/bare_aiohttp.py URL ROWS.jsonl IN_FLIGHT
"""

import asyncio
import json
import sys

import aiohttp


async def main(url: str, rows: str, in_flight: int) -> None:
    """Ask for each row of the file, so many at once."""
    with open(rows) as lines:
        waiting = iter([json.loads(line) for line in lines])
    right = 0

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal right
        for row in waiting:
            body = {
                "model": "mock",
                "messages": [{"role": "user", "content": row["question"]}],
                "max_tokens": 4,
                "temperature": 0,
            }
            async with session.post(f"{url}/chat/completions", json=body) as response:
                reply = await response.json()
            right += reply["choices"][0]["message"]["content"] == row["expected"]

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight)) as session:
        await asyncio.gather(*(work(session) for _ in range(in_flight)))
    print(right, "right")


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
