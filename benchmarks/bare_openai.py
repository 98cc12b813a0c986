"""The usual way: the same requests from a bare AsyncOpenAI script that streams.

python benchmarks/bare_openai.py URL ROWS.jsonl IN_FLIGHT
"""

import asyncio
import json
import sys

import openai


async def main(url: str, rows: str, in_flight: int) -> None:
    """Ask for each row of the file, so many at once."""
    with open(rows) as lines:
        waiting = iter([json.loads(line) for line in lines])
    client = openai.AsyncOpenAI(api_key="none", base_url=url)
    right = 0

    async def work() -> None:
        nonlocal right
        for row in waiting:
            stream = await client.chat.completions.create(
                model="mock",
                messages=[{"role": "user", "content": row["question"]}],
                max_tokens=4,
                temperature=0,
                stream=True,
                stream_options={"include_usage": True},
            )
            text = "".join([event.choices[0].delta.content or "" async for event in stream if event.choices])
            right += text == row["expected"]

    await asyncio.gather(*(work() for _ in range(in_flight)))
    await client.close()
    print(right, "right")


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
