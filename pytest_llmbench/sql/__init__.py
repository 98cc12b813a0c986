"""From one SQL text to a judged result: extract, readings, guard, databases, worker, tables."""
