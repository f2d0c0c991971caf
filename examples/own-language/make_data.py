"""Write Turkish documents and a classification task, generated from a small grammar."""

import json
import random
from pathlib import Path

# Of each theme: who acts, where, on what, and how.
THEMES = {
    "liman": {
        "kim": ["Yaşlı balıkçı", "Genç kaptan", "Gemideki aşçı", "Sessiz tayfa", "İki kardeş"],
        "nerede": ["limanda", "iskelenin ucunda", "küçük teknede", "deniz fenerinin altında"],
        "neyi": ["eski ağları", "yırtık yelkeni", "ağır sandıkları", "ıslak halatları", "pusulayı"],
        "ne yaptı": ["onardı", "temizledi", "taşıdı", "bağladı", "gözden geçirdi"],
    },
    "köy": {
        "kim": ["Komşu kadın", "Çalışkan çiftçi", "Köyün öğretmeni", "Küçük çocuk", "Yorgun çoban"],
        "nerede": ["köy meydanında", "geniş bahçede", "taş fırının yanında", "tepenin ardında"],
        "neyi": ["taze ekmekleri", "olgun elmaları", "kuru odunları", "boş sepetleri", "çiçekleri"],
        "ne yaptı": ["topladı", "paylaştı", "hazırladı", "getirdi", "özenle dizdi"],
    },
}
NE_ZAMAN = [
    "Dün sabah",
    "Akşama doğru",
    "Yağmurdan sonra",
    "Güneş doğarken",
    "Geçen hafta",
    "Kışın",
]
NEDEN = [
    "çünkü hava çok güzeldi",
    "çünkü herkes onu bekliyordu",
    "ve sonra eve döndü",
    "ama kimse bunu görmedi",
    "ve uzun uzun güldü",
]


def sentence(generator: random.Random, theme: str) -> str:
    who, where, what, did = (generator.choice(words) for words in THEMES[theme].values())
    when, why = generator.choice(NE_ZAMAN), generator.choice(NEDEN)
    return f"{when} {who[0].replace('İ', 'i').lower()}{who[1:]} {where} {what} {did}, {why}."


def main() -> None:
    generator = random.Random(0)
    folder = Path("data")
    folder.mkdir(exist_ok=True)
    with (folder / "documents.jsonl").open("w", encoding="utf-8") as file:
        for _ in range(400):
            theme = generator.choice(list(THEMES))
            text = " ".join(sentence(generator, theme) for _ in range(generator.randint(5, 9)))
            file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    for split, size in (("train", 200), ("validation", 100)):
        with (folder / f"{split}.tsv").open("w", encoding="utf-8") as file:
            file.write("text\tlabel\n")
            for _ in range(size):
                theme = generator.choice(list(THEMES))
                file.write(f"{sentence(generator, theme)}\t{theme}\n")


if __name__ == "__main__":
    main()
