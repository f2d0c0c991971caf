"""Classes of characters, to be put in brackets (`[...]`) in regular expressions.

They contain only characters and ranges, so that `re` and the Oniguruma of `tokenizers` interpret
them alike. From the Unicode Character Database 17.0.
"""

# Blocks of scripts without spaces between words: those of line breaking class SA (Thai, Lao,
# Burmese, Khmer, Tai Tham, ...), of AK, AP, AS, VF or VI (Javanese, Balinese, Cham, ...), and
# letters of class ID (Han, kana, Bopomofo, Yi, Tangut, ...). Hangul has spaces.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u1b00-\u1b7f\u1bc0-\u1bff"
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303b\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\ua4cf\ua980-\ua9ff\uaa00-\uaadf\uf900-\ufaff\uff66-\uff9f"
    "\U00011000-\U0001107f\U00011300-\U000113ff\U000116d0-\U000116e3\U00011700-\U0001174f"
    "\U00011900-\U0001195f\U00011ee0-\U00011eff\U00011f00-\U00011f5f\U00016100-\U0001613f"
    "\U00016fe0-\U00018dff\U0001aff0-\U0001b2ff\U0001e6c0-\U0001e6ff\U00020000-\U0003ffff"
)
# Of these, the marks on the character before: General_Category M, and others that extend a grapheme
# cluster (Thai and Lao sara am, half-width sound marks).
UNSPACED_MARKS = (
    "\u0e31\u0e33-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb3-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u1056-\u1059"
    "\u105e-\u1060\u1062-\u1064\u1067-\u106d\u1071-\u1074\u1082-\u108d\u108f\u109a-\u109d"
    "\u17b4-\u17d3\u17dd\u1a55-\u1a5e\u1a60-\u1a7c\u1a7f\u1b00-\u1b04\u1b34-\u1b44\u1b6b-\u1b73"
    "\u1be6-\u1bf3\u3099\u309a\ua980-\ua983\ua9b3-\ua9c0\ua9e5\uaa29-\uaa36\uaa43\uaa4c\uaa4d"
    "\uaa7b-\uaa7d\uaab0\uaab2-\uaab4\uaab7\uaab8\uaabe\uaabf\uaac1\uff9e\uff9f"
    "\U00011000-\U00011002\U00011038-\U00011046\U00011070\U00011073\U00011074\U0001107f"
    "\U00011300-\U00011303\U0001133b\U0001133c\U0001133e-\U00011344\U00011347\U00011348"
    "\U0001134b-\U0001134d\U00011357\U00011362\U00011363\U00011366-\U0001136c\U00011370-\U00011374"
    "\U000113b8-\U000113c0\U000113c2\U000113c5\U000113c7-\U000113ca\U000113cc-\U000113d0\U000113d2"
    "\U000113e1\U000113e2\U0001171d-\U0001172b\U00011930-\U00011935\U00011937\U00011938"
    "\U0001193b-\U0001193e\U00011940\U00011942\U00011943\U00011ef3-\U00011ef6\U00011f00\U00011f01"
    "\U00011f03\U00011f34-\U00011f3a\U00011f3e-\U00011f42\U00011f5a\U0001611e-\U0001612f\U00016fe4"
    "\U00016ff0\U00016ff1\U0001e6e3\U0001e6e6\U0001e6ee\U0001e6ef\U0001e6f5"
)
# Vowel signs of Thai, Lao, Tai Viet and New Tai Lue that are written before their consonant: a
# syllable begins with them.
LEADING_VOWELS = "\u0e40-\u0e44\u0ec0-\u0ec4\uaab5\uaab6\uaab9\uaabb\uaabc\u19b5-\u19b7\u19ba"
# Marks that end a word or syllable without a space: Ethiopic wordspace, Tibetan tsheg.
WORDSPACE = "\u1361"
WORD_ENDS = f"\u0f0b\u0f0c{WORDSPACE}"
# Marks that a text may write or leave out, its words being the same: points and accents of Hebrew,
# vowel and reading signs of Arabic, and tatweel, which stretches a word.
OPTIONAL_MARKS = (
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u0652"
    "\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u08d3-\u08e1"
    "\u08e3-\u08ff"
)
ZERO_WIDTH_SPACE = "\u200b"
# The scripts that write it between words: Thai, Lao, Tibetan, Burmese, Khmer, Tai, Balinese, Batak,
# Javanese, Cham.
WITH_ZERO_WIDTH_SPACE = (
    "\u0e00-\u109f\u1780-\u17ff\u1950-\u1aaf\u1b00-\u1b7f\u1bc0-\u1bff\ua980-\uaadf"
)
JOINERS = "\u200c\u200d"  # zero-width non-joiner and joiner
VARIATION_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
SKIN_TONES = "\U0001f3fb-\U0001f3ff"
# A consonant after one of these is stacked onto the one before it (Indic_Conjunct_Break=Linker).
STACKERS = (
    "\u094d\u09cd\u0a4d\u0acd\u0b4d\u0c4d\u0ccd\u0d4d\u0dca\u1039\u17d2\u1a60\u1b44\u1bab"
    "\ua9c0\uaaf6"
)
# Characters after which a joiner is part of the spelling: those of cursive and Indic scripts,
# symbols and variation selectors (emoji). After others (Latin, Greek, Cyrillic, Han, ...) it is an
# artifact.
JOINING = (
    "\u0600-\u109f\u1700-\u18af\u1900-\u1cff\u20e3\u2190-\u2bff\ua800-\ua95f\ua980-\uabff"
    "\ufb50-\ufdff\ufe00-\ufe0f\ufe70-\ufefc\U00010840-\U00010fff\U00011000-\U00011fff"
    "\U00016100-\U0001613f\U0001e900-\U0001e95f\U0001f000-\U0001faff"
)
# Control characters except tab and line ends; soft hyphen; direction marks, which are layout; word
# joiner and invisible operators; byte order mark; interlinear marks; U+FFFD, which replaces text
# that could not be decoded; noncharacters.
INVISIBLE = (
    "\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\xad\u061c\u200e\u200f\u202a-\u202e\u2060-\u2064"
    "\u2066-\u206f\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffd-\uffff"
)
# Property Sentence_Terminal of all scripts (PropList.txt).
SENTENCE_TERMINALS = (
    "\u0021\u002e\u003f\u0589\u061d-\u061f\u06d4\u0700-\u0702\u07f9\u0837\u0839\u083d\u083e"
    "\u0964\u0965\u104a\u104b\u1362\u1367\u1368\u166e\u1735\u1736\u17d4\u17d5\u1803\u1809"
    "\u1944\u1945\u1aa8-\u1aab\u1b4e\u1b4f\u1b5a\u1b5b\u1b5e\u1b5f\u1b7d-\u1b7f\u1c3b\u1c3c"
    "\u1c7e\u1c7f\u2024\u203c\u203d\u2047-\u2049\u2cf9-\u2cfb\u2e2e\u2e3c\u2e53\u2e54\u2e60\u2e61"
    "\u3002\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce\ua8cf\ua92f\ua9c8\ua9c9\uaa5d-\uaa5f"
    "\uaaf0\uaaf1\uabeb\ufe12\ufe15\ufe16\ufe52\ufe56\ufe57\uff01\uff0e\uff1f\uff61"
    "\U00010a56\U00010a57\U00010f55-\U00010f59\U00010f86-\U00010f89\U00011047\U00011048"
    "\U000110be-\U000110c1\U00011141-\U00011143\U000111c5\U000111c6\U000111cd\U000111de\U000111df"
    "\U00011238\U00011239\U0001123b\U0001123c\U000112a9\U000113d4\U000113d5\U0001144b\U0001144c"
    "\U000115c2\U000115c3\U000115c9-\U000115d7\U00011641\U00011642\U0001173c-\U0001173e\U00011944"
    "\U00011946\U00011a42\U00011a43\U00011a9b\U00011a9c\U00011c41\U00011c42\U00011ef7\U00011ef8"
    "\U00011f43\U00011f44\U00016a6e\U00016a6f\U00016af5\U00016b37\U00016b38\U00016b44"
    "\U00016d6e\U00016d6f\U00016e98\U0001bc9f\U0001da88"
)
# Tibetan shad and similar marks end clauses as well as sentences; the property excludes them.
TIBETAN_SHADS = "\u0f0d-\u0f12\u0f14"
