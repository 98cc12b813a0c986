"""From one SQL text to its evaluation: extract, translate, guard, database, worker, result sets."""
