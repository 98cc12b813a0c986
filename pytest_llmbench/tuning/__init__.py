"""From grades to a tuned model: data, rewards, the stages of a recipe, and what they leave behind."""
