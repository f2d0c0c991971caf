"""Write short English letters, generated from a small grammar."""

import json
import random
from pathlib import Path

PARTS = (
    ["The postman", "A friend of mine", "The new teacher", "Our grandmother", "The gardener"],
    ["brought", "read", "answered", "copied", "kept"],
    ["a long letter", "the last message", "an old postcard", "the invitation"],
    ["from the coast.", "in the afternoon.", "with a smile.", "before the holidays."],
)


def main() -> None:
    generator = random.Random(0)
    Path("data").mkdir(exist_ok=True)
    with Path("data", "letters.jsonl").open("w") as file:
        for number in range(200):
            sentences = (" ".join(generator.choice(words) for words in PARTS) for _ in range(8))
            text = f"Letter number {number}. " + " ".join(sentences)
            file.write(json.dumps({"text": text}) + "\n")


if __name__ == "__main__":
    main()
