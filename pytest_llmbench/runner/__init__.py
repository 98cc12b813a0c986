"""A run: requests planned and sent ahead of the tests, answers graded as each test asks for its own."""
