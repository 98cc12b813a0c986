import words


def get_assert(output, context):
    return words.count(output) == 1 and context["test"]["vars"]["q"] == "l"


class Checks:
    @staticmethod
    def exact(output, context):
        return 1.0 if output == "yes" else 0.0


async def later(output, context):
    return context["config"]["word"] in output
