"""What an application is sent of a request, whichever way it is asked."""

from uuid import uuid4

from pytest_llmbench.values import Json, Prompt, Request


def last_user_message(prompt: Prompt) -> str:
    """Give the text of a completion prompt, or the last message of the user in a chat."""
    if prompt.text is not None:
        return prompt.text
    return next((message.content for message in reversed(prompt.messages) if message.role == "user"), "")


def messages_of(prompt: Prompt) -> list[dict[str, str]]:
    """Give all messages of a chat; the text of a completion prompt as one of the user."""
    if prompt.text is not None:
        return [{"role": "user", "content": prompt.text}]
    return [{"role": message.role, "content": message.content} for message in prompt.messages]


def tools_of(prompt: Prompt) -> list[dict[str, Json]]:
    """Give the tools of the suite, as OpenAI's protocol writes them."""
    return [tool.definition for tool in prompt.tools]


def new_session(request: Request) -> str:
    """Give the name of the conversation; a request that is all of it gets one that no other run or attempt has."""
    if request.session is not None:
        return request.session
    return session_of(request)


def session_of(request: Request) -> str:
    """Make the name of a conversation that no other sample or run has."""
    return f"{request.suite}-{request.case}-{request.sample}-{uuid4().hex[:12]}"


def sampling_of(request: Request) -> dict[str, Json]:
    """Give how the answer is to be generated, as a table."""
    sampling = request.sampling
    return {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "stop": list(sampling.stop),
        "seed": sampling.seed,
    }
