"""Write a classification and a tagging task about messages of customers, from a small grammar."""

import random
from pathlib import Path

DAYS = ["monday", "tuesday", "friday", "sunday"]
MESSAGES = {
    "delivery": [
        "the parcel {order} has not arrived since {day}",
        "where is my parcel {order}",
        "the driver left order {order} at the wrong door on {day}",
    ],
    "billing": [
        "the invoice for {order} is too high",
        "please send the invoice of {day} again",
        "my card was charged twice for order {order}",
    ],
    "technical": [
        "the lamp of order {order} does not switch on",
        "since {day} the screen stays black",
        "the battery was empty again on {day}",
    ],
}


def message(generator: random.Random) -> tuple[str, list[tuple[str, str]]]:
    """Return the department and the words with their tags."""
    department = generator.choice(list(MESSAGES))
    words = []
    for word in generator.choice(MESSAGES[department]).split():
        if word == "{order}":
            words.append((f"{generator.choice('abk')}{generator.randint(100, 999)}", "B-ORDER"))
        elif word == "{day}":
            words.append((generator.choice(DAYS), "B-DATE"))
        else:
            words.append((word, "O"))
    return department, words


def main() -> None:
    generator = random.Random(0)
    folder = Path("data")
    folder.mkdir(exist_ok=True)
    for split, size in (("train", 240), ("validation", 120)):
        messages = [message(generator) for _ in range(size)]
        rows = [f"{' '.join(w for w, _ in words)}\t{department}" for department, words in messages]
        (folder / f"{split}.tsv").write_text("text\tlabel\n" + "\n".join(rows) + "\n")
        blocks = ["".join(f"{word} {tag}\n" for word, tag in words) for _, words in messages]
        (folder / f"{split}.conll").write_text("\n".join(blocks))


if __name__ == "__main__":
    main()
