"""Write general English and kitchen recipes, both generated from small grammars."""

import json
import random
from pathlib import Path

GENERAL = (
    ["The baker", "A young doctor", "Our neighbour", "The tired sailor", "My older sister"],
    ["remembers", "paints", "repairs", "describes", "carries", "admires"],
    ["the wooden boat", "a small garden", "the long letter", "an empty house", "the old clock"],
    ["near the river.", "behind the station.", "after the storm.", "in the early morning."],
)
RECIPES = (
    ["Peel and slice", "Wash and dry", "Chop", "Season", "Gently stir"],
    ["the carrots", "two onions", "the red lentils", "a bunch of parsley", "the ripe tomatoes"],
    ["and cook them", "and fry them in oil", "and leave them to rest", "and bake them"],
    ["for ten minutes.", "until they are soft.", "over a low heat.", "with a pinch of salt."],
)


def main() -> None:
    generator = random.Random(0)
    Path("data").mkdir(exist_ok=True)
    for name, grammar in (("general", GENERAL), ("recipes", RECIPES)):
        with Path("data", f"{name}.jsonl").open("w") as file:
            for number in range(300):
                sentences = (
                    " ".join(generator.choice(words) for words in grammar) for _ in range(8)
                )
                text = f"Text number {number}. " + " ".join(sentences)
                file.write(json.dumps({"text": text}) + "\n")


if __name__ == "__main__":
    main()
