print("this is no part of the tests")


def generate_tests():
    return [
        {"vars": {"q": f"made {number}"}, "assert": [{"type": "contains", "value": str(number)}]} for number in range(3)
    ]


def some(config):
    return [
        {"description": word, "vars": {"q": word}, "assert": [{"type": "equals", "value": word}]}
        for word in config["words"]
    ]
