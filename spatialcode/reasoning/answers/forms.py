"""Where completions put their answers: one finder a form, and the cleaning of what they find.

A finder gives the contents of its form in order, uncleaned. Repeats in patterns are bounded, and
the text that they see is too, so work is linear.
"""

from __future__ import annotations

import json
import re
import unicodedata

#: No answer is longer; contents are cut there.
_CONTENT_CHARS = 400
#: Sentences from the end that are looked at for prose.
_LAST_SENTENCES = 200

_TAG = re.compile(rf"<answer>(.{{0,{_CONTENT_CHARS}}}?)</answer>", re.IGNORECASE | re.DOTALL)
_BOXED = re.compile(r"\\boxed\s{0,3}\{")
_JSON = re.compile(
    r"[\"'](?:final[ _]?)?(?:answer|choice|option)[\"']\s{0,9}:\s{0,9}"
    r"(?P<value>\"(?:[^\"\\\n]|\\.){0,400}\"|'[^'\n]{0,400}'|\[[^\[\]\n]{0,200}\]|[^,{}\n]{1,100})"
    r"(?:\s{0,9},\s{0,9}[\"']units?[\"']\s{0,9}:\s{0,9}[\"'](?P<unit>[^\"'\n]{1,30})[\"'])?",
    re.IGNORECASE,
)
_LINE = re.compile(
    r"(?<![\w\"'])(?P<final>final[ \t]{1,3})?answer[ \t]{0,3}(?:\([^()\n]{0,30}\))?[*_ \t]{0,6}"
    r"[:：=][*_ \t]{0,6}(?:\r?\n[ \t]{0,5}){0,2}(?P<content>[^\n]{0,400})",
    re.IGNORECASE,
)
_HEADING = re.compile(
    r"^#{1,6}[ \t]{1,3}[*_]{0,3}(?P<final>final[ \t]{1,3})?answer[*_ \t]{0,6}\r?\n\s{0,9}"
    r"(?P<content>[^\n]{1,400})",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE = re.compile(
    r"\b(?:answer|option|choice|result|solution)\b[*_ \t]{1,6}(?:is|would be|should be|must be)\b"
    r"[:*_ \t]{0,6}(?P<content>[^\n]{1,300}?)(?=[.!?](?:\s|$)|\n|$)",
    re.IGNORECASE,
)
_CONCLUSION = re.compile(
    r"^(?:.*\b)?(?:so|therefore|thus|hence|overall|in total|in conclusion|consequently)\b(.*)$",
    re.IGNORECASE,
)
_SENTENCES = re.compile(r"(?<=[.!?])\s+|\n+")


def after_thinking(completion: str) -> str | None:
    """What follows the last ``</think>``, or all of it; None where thinking was never closed."""
    closed = completion.rfind("</think>")
    if closed >= 0:
        return completion[closed + len("</think>") :]
    return None if "<think>" in completion else completion


def tagged(text: str) -> list[str]:
    """Inside ``<answer>`` tags."""
    return [match[1] for match in _TAG.finditer(text)]


def boxed(text: str) -> list[str]:
    r"""Inside ``\boxed{…}``, braces balanced."""
    found = []
    for match in _BOXED.finditer(text):
        depth = 1
        for at in range(match.end(), min(match.end() + _CONTENT_CHARS, len(text))):
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            if depth == 0:
                found.append(text[match.end() : at])
                break
    return found


def in_json(text: str) -> list[str]:
    """Values of an answer's key, with the unit that stands beside it."""
    found = []
    for match in _JSON.finditer(text):
        value = match["value"].strip()
        if value.startswith('"'):
            try:
                value = str(json.loads(value))
            except ValueError:
                value = value[1:-1]
        value = value.strip("[]'\" ")
        if value not in ("", "null", "None"):
            found.append(f"{value} {match['unit'] or ''}".strip())
    return found


def after_answer(text: str, *, final: bool) -> list[str]:
    """After "Answer:", or after "Final answer:"."""
    found = sorted(
        (match.start(), match["content"])
        for pattern in (_LINE, _HEADING)
        for match in pattern.finditer(text)
        if bool(match["final"]) == final and match["content"].strip("*_ \t")
    )
    return [content for _, content in found]


def last_line(text: str) -> str:
    """The last line that holds anything."""
    return text.rstrip().rpartition("\n")[2][-_CONTENT_CHARS:]


def sentences_of_answers(text: str) -> list[str]:
    """After "the answer is", "the correct option is"."""
    return [match["content"] for match in _SENTENCE.finditer(text)]


def last_sentences(text: str) -> list[str]:
    """The text's last sentences, the last first."""
    parts = [part for part in _SENTENCES.split(text) if part.strip()]
    return [part[-_CONTENT_CHARS:] for part in parts[-_LAST_SENTENCES:][::-1]]


def concluded(sentence: str) -> str | None:
    """What follows so, therefore, thus, hence; None for a sentence that does not conclude."""
    found = _CONCLUSION.match(sentence)
    return found[1] if found else None


_LATEX_TEXT = re.compile(r"\\(?:text|mathrm|mathbf|textbf|textrm|mbox)\s?\{([^{}]{0,100})\}")
_LATEX_FRACTION = re.compile(r"\\d?frac\s?\{(\d{1,4})\}\s?\{(\d{1,4})\}")
_LATEX_SPACE = re.compile(r"\\[,;:! ]|~|\\q?quad\b|\$|\\[()\[\]]|\\(?:left|right)(?=[(\[)\].])")
_POWER_TWO = re.compile(r"\^\{?2\}?")
_DASHES = str.maketrans(
    {"‐": "-", "‑": "-", "–": "-", "—": "-", "−": "-", "\u2044": "/", "½": " 1/2", "¼": " 1/4",
     "¾": " 3/4", "’": "'", "‘": "'", "“": '"', "”": '"', "≈": "=", "`": None, "*": None}
)  # fmt: skip


def cleaned(text: str) -> str:
    """Without LaTeX, Markdown and typographic variants; a product's star stays visible as ×."""
    text = re.sub(r"(?<=\d) ?\* ?(?=\d)|\\times|\\cdot", "×", text.strip())
    text = _LATEX_FRACTION.sub(r" \1/\2", _LATEX_TEXT.sub(r"\1", text))
    text = _LATEX_SPACE.sub(" ", text.replace("\\approx", "≈").replace("\\%", "%"))
    text = unicodedata.normalize("NFKC", text.translate(_DASHES)).translate(_DASHES)
    text = _POWER_TWO.sub("2", text).strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    return text


_WHY = re.compile(
    r"[\s,(]+(?:since|because|given that|based on|as (?=the|it|they|its)|assuming|computed|where "
    r"(?=the)|which (?=is|means|gives))\b.*",
    re.IGNORECASE | re.DOTALL,
)
_SENTENCE_END = re.compile(r"[.!?]\s+(?=[A-Z(\"'])")
_LETTER_ONLY = re.compile(r"\W*[A-Za-z]\W*")


def clause(content: str) -> str:
    """The first sentence, without its reasons; a letter and its full stop end no sentence."""
    end = _SENTENCE_END.search(content)
    while end is not None and _LETTER_ONLY.fullmatch(content[: end.start()]):
        end = _SENTENCE_END.search(content, end.end())
    return _WHY.sub("", content if end is None else content[: end.start() + 1])
