"""Other wordings of what a person asked: to learn an answer in (`worded`), and to ask whether it was learnt (`other_ways`).

A small model does not know that "Where do I work?" and "In which place do I work?" ask the same, so a fix is taught in both. The
rules know question words of English and Russian, and no topic. Knows nothing about models.
"""

import random
import re

from minitron.tokenizer.chat_template import Message

WORDINGS = 32  # so many wordings of each labelled prompt are trained on, its own included
DROPPED = 0.2  # share of a prompt's words that another wording leaves out, on average
LED = 0.5  # share of the other wordings that begin with one of LEADS
REPHRASED = 0.5  # share of the other wordings that ask with other question words, where a rule fits
LEADS = {
    "en": ("Please, ", "So, ", "Can you ", "Could you ", "I want to know: ", "What about: "),
    "ru": ("Пожалуйста, ", "Слушай, ", "Можешь ", "А ", "Хочу знать: ", "Как насчёт: "),
}
# verbs that begin a question after its question word: "Where I work is cold" and "When I say so, sing" are none
VERB = r"(?:is|are|am|was|were|do|does|did|has|have|had|can|could|will|would|should|must)\b"
# A pattern, and what may stand in its place: questions that ask the same. All patterns that fit a text are used.
QUESTIONS: dict[str, list[tuple[str, tuple[str, ...]]]] = {
    "en": [
        (r"^what(?: is|'s) (.+) called$", (r"what is the name of \1", r"what's the name of \1", r"what is \1's name")),
        (r"^what(?: is|'s) the name of (.+)$", (r"what is \1 called", r"what's \1 called", r"what is \1's name")),
        (r"^what(?: is|'s) (.+)'s name$", (r"what is \1 called", r"what is the name of \1", r"who is \1")),
        (r"^what(?: is|'s) (my|your|his|her|our|their) favou?rite (.+)$", (
            r"which \2 is \1 favourite", r"what \2 is \1 favourite", r"\1 favourite \2, what is it")),
        (r"^what(?: is|'s) my favou?rite (.+)$", (r"which \1 do I like best", r"what \1 do I like most", r"which \1 do I prefer")),
        (r"^what(?: is|'s) your favou?rite (.+)$", (r"which \1 do you like best", r"what \1 do you like most")),
        (r"^(?:which|what) (\w+) do (I|you|we|they) like (?:best|most)$", (r"which \1 do \2 prefer", r"what \1 do \2 like more than all others")),
        (r"^who(?: is|'s) (.+)$", (r"what is the name of \1", r"what is \1's name", r"which person is \1", r"do you know who \1 is")),
        (rf"^where ({VERB} .+)$", (r"in which city \1", r"in what city \1", r"in which place \1", r"in which country \1", r"at what place \1")),
        (r"^where do (.+?) (\w+)$", (
            r"what is the place where \1 \2", r"which place is it where \1 \2", r"what city do \1 \2 in", r"do you know where \1 \2")),
        (r"^where does (.+?) (\w+)$", (
            r"what is the place where \1 \2s", r"which place is it where \1 \2s", r"what city does \1 \2 in", r"do you know where \1 \2s")),
        (r"^where (?:is|are) (.+)$", (r"what is the place of \1", r"in what place can I find \1", r"do you know where \1 is")),
        (rf"^when ({VERB} .+)$", (r"in which month \1", r"in what month \1", r"on which day \1", r"on what date \1", r"at what time \1", r"in which year \1")),
        (r"^when (?:is|was) (.+)$", (r"what is the date of \1", r"what date is \1", r"do you know when \1 is")),
        (r"^what (do|does|did) (.+)$", (r"which thing \1 \2", r"what thing \1 \2")),
        (r"^what do (.+)$", (r"what is it that \1", r"do you know what \1")),
        (r"^what do (.+?) (\w+) ((?:in|at|on|for|with) .+)$", (r"\3, what do \1 \2",)),
        (r"^which (\w+) (.+)$", (r"what \1 \2", r"what kind of \1 \2", r"tell me which \1 \2")),
        (rf"^what (?!{VERB}|(?:kind|thing|a|an|the)\b)(\w+) (.+)$", (r"which \1 \2", r"what kind of \1 \2")),
        (r"^how old is (.+)$", (r"what is the age of \1", r"what age is \1", r"what is \1's age", r"how many years old is \1")),
        (r"^how many (.+)$", (r"what number of \1", r"do you know how many \1")),
        (r"^why (.+)$", (r"for what reason \1", r"how come \1")),
        (r"^what(?: is|'s) (.+)$", (r"what's \1", r"what is \1")),
        (r"^what(?: is|'s) (?!.* called$)(.+)$", (r"do you know \1", r"\1, what is it")),
    ],
    "ru": [
        (r"^как зовут (.+)$", (r"как звать \1", r"каким именем зовут \1", r"помнишь, как зовут \1", r"\1 как зовут")),
        (r"^где (.+)$", (r"в каком городе \1", r"в каком месте \1", r"в какой стране \1", r"помнишь, где \1")),
        (r"^куда (.+)$", (r"в какой город \1", r"в какое место \1", r"помнишь, куда \1")),
        (r"^когда (.+)$", (r"в каком месяце \1", r"в какой день \1", r"какого числа \1", r"в каком году \1", r"помнишь, когда \1")),
        (r"^кто (.+)$", (r"какой человек \1", r"кто же \1", r"помнишь, кто \1")),
        (r"^что (.+)$", (r"что именно \1", r"какую вещь \1", r"помнишь, что \1")),
        (r"^(какой|какая|какое|какие) у меня любим(?:ый|ая|ое|ые) (.+)$", (r"\1 \2 я люблю больше всего", r"\1 \2 мне нравится больше всего")),
        (r"^(какой|какая|какое|какие|каким|какую) (.+)$", (r"\1 именно \2", r"помнишь, \1 \2")),
        (r"^сколько (.+)$", (r"какое количество \1", r"помнишь, сколько \1")),
        (r"^почему (.+)$", (r"по какой причине \1", r"отчего \1", r"помнишь, почему \1")),
    ],
}  # fmt: skip


def language(text: str) -> str:
    """`ru` if there is a Russian letter in the text, else `en`."""
    return "ru" if re.search("[а-яё]", text.casefold()) else "en"


def other_ways(text: str) -> list[str]:
    """A text in up to four other wordings: lower case without its final mark, after a greeting, after "Tell me", with two question marks."""
    bare = text.rstrip(" .!?…")
    hello, tell = ("Привет! ", "Скажи, ") if language(text) == "ru" else ("Hi! ", "Tell me, ")
    ways = [bare.lower(), hello + text[:1].upper() + text[1:], tell + text[:1].lower() + text[1:], bare + "??"]
    return [way for way in dict.fromkeys(ways) if way and way != text]


def rephrased(text: str) -> list[str]:
    """The same question with other question words, by the rules of QUESTIONS; empty if none fits."""
    bare = text.replace("’", "'").rstrip(" .!?…")
    bare = bare[:1].lower() + bare[1:]
    ways = []
    for pattern, others in QUESTIONS[language(text)]:
        if found := re.search(pattern, bare, re.IGNORECASE):
            ways += [found.expand(other) for other in others]
    return [way[:1].upper() + way[1:] for way in dict.fromkeys(ways) if way.lower() != bare.lower()]


def worded(prompt: list[Message]) -> list[list[Message]]:
    """The prompt, and variants of its last message: other question words, words left out, a phrase of LEADS before it, lower case,
    another final mark. From a single wording a model cannot learn which words matter. The same prompt always gives the same variants."""
    text = prompt[-1]["content"]
    chance, ways, asked, others = random.Random(text), [text], set(other_ways(text)), rephrased(text)
    for _ in range(WORDINGS - 1):
        way = chance.choice(others) if others and chance.random() < REPHRASED else text
        way = " ".join(word for word in way.split() if chance.random() >= DROPPED) or text
        if chance.random() < LED:
            way = chance.choice(LEADS[language(text)]) + way[:1].lower() + way[1:]
        way = way.lower() if chance.random() < 0.5 else way
        ways.append(way.rstrip(" .!?…") + chance.choice(["", ".", "!", "?"]))
    return [[*prompt[:-1], {"role": "user", "content": way}] for way in dict.fromkeys(ways) if way and way not in asked]
