"""Exports of chats as dialogues. The files are made here, from what each program's export is documented to hold."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dialogues import dialogue, part, refused, run
from hypothesis import given, settings
from hypothesis import strategies as st

from minitron.core.errors import MinitronError
from minitron.data import sources
from minitron.data.chats import Chat, chatgpt, export, export_kinds
from minitron.data.chats.whatsapp import entries_of, order_of_date
from minitron.recipe.data import DataConfig

pytestmark = pytest.mark.usefixtures("in_tmp_path")

BEGIN = datetime(2023, 12, 31, 21, 15, tzinfo=UTC)


def dialogues(**options) -> list:
    """The dialogues that come out, in the order of the file."""
    run(valid_fraction=0.0, **options)
    return [row["messages"] for row in part("train")]


def report(**options) -> dict:
    """What became of the file's messages; each is counted once."""
    (found,) = run(valid_fraction=0.0, **options)["messages"]
    assert found["messages"] == found["in_dialogues"] + sum(found["left_out"].values())
    return found


# --- people and pauses -----------------------------------------------------------------------------------------------


def telegram(*messages: tuple, **more) -> dict:
    """A chat as in Telegram's result.json; each message is given as (who, text, minute), or as a dict that is used as it is."""
    made = []
    for number, message in enumerate(messages):
        if isinstance(message, tuple):
            who, text, minute = message
            time = BEGIN + timedelta(minutes=minute)
            message = {"type": "message", "from": who, "from_id": f"user{who}", "text": text, "text_entities": []}
            message |= {"date": time.strftime("%Y-%m-%dT%H:%M:%S"), "date_unixtime": str(int(time.timestamp()))}
        made.append({"id": number} | message)
    return {"name": "Max", "type": "personal_chat", "id": 1, "messages": made} | more


def write_json(path: str, value) -> None:
    Path(path).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def test_telegram():
    link = ["look: ", {"type": "link", "text": "https://example.org"}, " ok"]
    write_json(
        "result.json",
        telegram(
            {"type": "service", "actor": "Max", "action": "phone_call", "text": ""},
            ("Nadia", "first words", 0),
            ("Max", "hello", 1),
            ("Max", link, 2),
            {"type": "message", "from": "Max", "text": "", "media_type": "sticker", "sticker_emoji": "🙂"},
            {"type": "message", "from": "Max", "forwarded_from": "News", "text": "read all about it"},
            {"type": "message", "from": "Max", "forwarded_from": None, "text": "of a deleted account"},
            ("Nadia", "hi", 3),
            {
                "type": "message",
                "from": "Nadia",
                "text": "a cat",
                "photo": "photos/1.jpg",
                "edited": "2024-01-01T00:00:00",
            },
            ("Max", "and?", 4),
            ("Max", "are you there?", 64.5),  # more than an hour later
            ("Nadia", "yes", 65),
            ("Max", "bye", 66),
        ),
    )
    assert dialogues(files=["result.json"], assistant="nadia") == [
        dialogue("hello\nlook: https://example.org ok", "hi\na cat"),
        dialogue("are you there?", "yes"),
    ]
    assert report(files=["result.json"], assistant="Nadia") == {
        "path": "result.json",
        "export": "Telegram",
        "messages": 13,
        "in_dialogues": 6,
        "dialogues": 2,
        "left_out": {
            "questions that nobody answered": 2,
            export.SERVICE: 1,
            export.NO_TEXT: 1,
            export.FORWARDED: 2,
            "answers before the first question": 1,
        },
        "parts_left_out": {export.PARTS: 1},
    }
    assert len(dialogues(files=["result.json"], assistant="Nadia", pause_minutes=0.0)) == 1


def test_an_account_of_telegram_has_many_chats():
    chats = [
        telegram(("Max", "hello", 0), ("Nadia", "hi", 1)),
        telegram(("Max", "no answer", 0), ("Ann", "who is that?", 1), name="Ann"),
        telegram(("Ann", "what's up?", 0), ("Bob", "who?", 0), ("Nadia", "all fine", 1), type="private_group"),
        telegram(
            {"type": "message", "from": None, "from_id": "user5", "date_unixtime": "1", "text": "gone"},
            ("Nadia", "so", 1),
        ),
    ]
    write_json("result.json", {"about": "…", "chats": {"about": "…", "list": chats}})
    assert dialogues(files=["result.json"], assistant="Nadia", pause_minutes=0.0) == [
        dialogue("hello", "hi"),
        dialogue("what's up?\nwho?", "all fine"),
        dialogue("gone", "so"),
    ]
    assert report(files=["result.json"], assistant="Nadia", pause_minutes=0.0)["left_out"] == {
        "messages of chats in which the assistant writes nothing": 2
    }
    left = telegram(("Max", "do you leave?", 0), ("Nadia", "yes", 1))
    write_json("result.json", {"chats": {"list": []}, "left_chats": {"about": "…", "list": [left]}})
    assert dialogues(files=["result.json"], assistant="Nadia") == [dialogue("do you leave?", "yes")]


def test_who_answers_has_to_be_said():
    write_json("result.json", telegram(("Max", "hello", 0), ("Nadia", "hi", 1), ("Nadia", "well?", 1)))
    assert refused(2, files=["result.json"]) == (
        "result.json is a chat (Telegram) and the recipe does not say who is the assistant: Nadia (2), Max (1) | such as "
        'data.assistant = "Nadia": this person\'s messages are learned, those of others are the questions'
    )
    assert refused(2, files=["result.json"], assistant="Nadja") == (
        "result.json: nobody is called 'Nadja' | did you mean 'Nadia'? those who write are Nadia (2), Max (1)"
    )
    write_json("late.json", telegram(("Nadia", "hi", 0), ("Max", "hello", 1)))
    assert "late.json (Telegram) holds no dialogue: " in refused(files=["late.json"], assistant="Nadia")
    assert dialogues(files=["result.json"], roles={"Nadia": "assistant"}) == [dialogue("hello", "hi\nwell?")]


def test_five_dialogues_are_shown(capfd):
    talk = [(who, f"{who} {i}\nmore", 100 * i) for i in range(20) for who in ("Max", "Nadia")]
    write_json("result.json", telegram(*talk))
    run(files=["result.json"], assistant="Nadia")
    said = capfd.readouterr().err
    assert "result.json: Telegram, 40 messages, 40 of them in 20 dialogues\n" in said
    assert said.count("dialogue ") == 5
    assert said.count("  user       Max ") == said.count("  assistant  Nadia ") == 5
    assert " ↵ more\n" in said


# --- chats with programs ---------------------------------------------------------------------------------------------


def node(key: str, parent: str | None, role: str, *parts, kind: str = "text", **more) -> dict:
    message = {"id": key, "author": {"role": role}, "content": {"content_type": kind, "parts": list(parts)}}
    return {key: {"id": key, "parent": parent, "children": [], "message": message | {"recipient": "all"} | more}}


def test_chatgpt():
    hidden = {"metadata": {"is_visually_hidden_from_conversation": True}}
    nodes = {"root": {"id": "root", "parent": None, "children": ["s"], "message": None}}
    nodes |= node("s", "root", "system", "", **hidden)
    nodes |= node("u1", "s", "user", "hello")
    nodes |= node("old", "u1", "assistant", "an answer that was regenerated")
    nodes |= node("a1", "u1", "assistant", "hi")
    nodes |= node("u2", "a1", "user", {"content_type": "image_asset_pointer"}, "what is that?", kind="multimodal_text")
    nodes |= node("call", "u2", "assistant", "search('cat')", recipient="browser")
    nodes |= node("result", "call", "tool", "a cat is an animal")
    nodes |= node("a2", "result", "assistant", "a cat")
    nodes |= node("a3", "a2", "assistant", "a black one")
    nodes |= node("u3", "a3", "user", {"content_type": "image_asset_pointer"}, kind="multimodal_text")
    nodes |= node("a4", "u3", "assistant", "a dog")
    nodes |= node("u4", "a4", "user", "thanks")
    nodes |= node("a5", "u4", "assistant", "welcome")
    conversation = {"title": "Cats", "create_time": 1.0, "mapping": nodes, "current_node": "a5"}
    write_json("conversations.json", [conversation])
    assert dialogues(files=["conversations.json"]) == [
        dialogue("hello", "hi", "what is that?", "a cat\na black one"),
        dialogue("thanks", "welcome"),  # the answer to a picture has no question, and is left out
    ]
    found = report(files=["conversations.json"])
    assert found["left_out"] == {
        export.TOOLS: 2,
        "messages on branches that were not shown last": 1,
        export.HIDDEN: 1,
        export.NO_TEXT: 1,
        "answers before the first question": 1,
    }
    assert found["parts_left_out"] == {export.PARTS: 2}


def test_an_empty_message_that_the_program_goes_on_after_ends_no_dialogue():
    write_json("none.json", [{"mapping": node("q", None, "user", "hello"), "current_node": "q"}])
    assert "holds no dialogue: messages of chats in which the assistant writes nothing: 1 | " in refused(
        files=["none.json"]
    )
    nodes = node("q", None, "user", "hello") | node("e", "q", "assistant", "") | node("a", "e", "assistant", "hi")
    nodes |= node("q2", "a", "user", "more?") | node("e2", "q2", "assistant", "") | node("q3", "e2", "user", "and?")
    nodes |= node("a3", "q3", "assistant", "yes")
    write_json("conversations.json", [{"mapping": nodes, "current_node": "a3"}])
    assert dialogues(files=["conversations.json"]) == [dialogue("hello", "hi"), dialogue("and?", "yes")]
    assert report(files=["conversations.json"])["left_out"] == {
        export.NO_TEXT: 2,
        "questions that nobody answered": 1,
    }


def test_marks_in_an_answer_of_chatgpt():
    """A search leaves sources between characters for private use; of names and links the page shows what a reader sees."""
    said = (
        'Go to \ue200entity\ue202["cafe","Luna","x"]\ue201. It is open. \ue200cite\ue202turn0search1\ue202turn0news2\ue201\n\n'
        "See \ue200url\ue202the menu\ue202turn0search1\ue201【4†source】【12:0†a.pdf】, \ue200entity\ue202[]\ue201ok 【注】"
    )
    nodes = node("q", None, "user", "where? \ue200") | node("a", "q", "assistant", said)
    write_json("conversations.json", [{"mapping": nodes, "current_node": "a"}])
    want = dialogue("where? \ue200", "Go to Luna. It is open.\n\nSee the menu,ok 【注】")
    assert dialogues(files=["conversations.json"]) == [want]
    assert report(files=["conversations.json"])["parts_left_out"] == {chatgpt.MARKS: 6}


def test_claude():
    def message(sender: str, *content: dict, **more) -> dict:
        return {
            "uuid": "1",
            "sender": sender,
            "text": "flat",
            "content": list(content),
            "attachments": [],
            "files": [],
        } | more

    text = lambda told: {"type": "text", "text": told}  # noqa: E731
    paper = {"file_name": "a.txt", "extracted_content": "long"}
    talk = [
        message("human", text("hello"), attachments=[paper]),
        message("assistant", {"type": "thinking", "thinking": "hm"}, text("hi"), text("you")),
        message("human"),
        message("assistant", text("fine")),
    ]
    write_json(
        "conversations.json", [{"uuid": "1", "name": "x", "chat_messages": talk}, {"uuid": "2", "chat_messages": []}]
    )
    assert dialogues(files=["conversations.json"]) == [dialogue("hello", "hi\nyou", "flat", "fine")]
    assert report(files=["conversations.json"])["parts_left_out"] == {export.PARTS: 1, export.TOOLS: 1}


def test_sillytavern():
    lines = [
        {"user_name": "You", "character_name": "Sera", "create_date": "2024-01-01", "chat_metadata": {}},
        {"name": "Sera", "is_user": False, "is_system": False, "mes": "*waves*"},
        {"name": "You", "is_user": True, "mes": "hello"},
        {
            "name": "Sera",
            "is_user": False,
            "mes": "the one that stayed",
            "swipe_id": 1,
            "swipes": ["another", "the one that stayed"],
        },
        {"name": "Sera", "is_user": False, "is_system": True, "mes": "a note"},
    ]
    Path("Sera.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert dialogues(files=["Sera.jsonl"]) == [dialogue("hello", "the one that stayed")]
    found = report(files=["Sera.jsonl"])
    assert found["left_out"] == {export.HIDDEN: 1, "answers before the first question": 1}
    assert found["parts_left_out"] == {export.SWIPES: 1}


def test_discord():
    def message(name: str, content: str, minute: int, *, nickname: str = "", kind: str = "Default", **more) -> dict:
        author = {"id": "1", "name": name, "nickname": nickname, "isBot": False}
        time = (BEGIN + timedelta(minutes=minute)).isoformat()
        made = {"type": kind, "timestamp": time, "timestampEdited": None, "content": content, "author": author}
        return made | {"attachments": [], "embeds": [], "stickers": []} | more

    messages = [
        message("nadia77", "hi", 2, nickname="Nadia"),  # newest first, as one may ask for
        message("max", "hello", 1, kind="Reply"),
        message("max", "Joined the server.", 0, kind="GuildMemberJoin"),
        message("max", "", 0, attachments=[{"url": "x.png"}]),
    ]
    write_json("general.json", {"guild": {"id": "0"}, "channel": {"id": "1", "name": "general"}, "messages": messages})
    assert dialogues(files=["general.json"], assistant="Nadia") == [dialogue("hello", "hi")]
    assert report(files=["general.json"], assistant="Nadia")["left_out"] == {export.SERVICE: 1, export.NO_TEXT: 1}


# --- text ------------------------------------------------------------------------------------------------------------

WHATSAPP = {
    "android, 24 hours": ("{:%d.%m.%y, %H:%M} - ", ""),
    "android, 12 hours": ("{:%-m/%-d/%y, %-I:%M\u202f%p} - ", ""),
    "android, spaces": ("{:%d/%m/%Y %H:%M} - ", ""),
    "android, points in p. m.": ("{:%-d/%-m/%y, %-I:%M} {dotted} - ", ""),
    "ios, 24 hours": ("[{:%d.%m.%y, %H:%M:%S}] ", "\u200e"),
    "ios, 12 hours": ("[{:%-m/%-d/%y, %-I:%M:%S\u202f%p}] ", "\u200e"),
    "iso": ("[{:%Y-%m-%d, %H:%M:%S}] ", "\u200e"),
    "french": ("{:%d/%m/%Y à %H:%M} - ", ""),
    "finnish": ("[{:%-d.%-m.%Y klo %-H.%M.%S}] ", "\u200e"),
    "czech": ("{:%-d. %-m. %Y %-H:%M} - ", ""),
    "bulgarian": ("{:%-d.%-m.%y г., %-H:%M} - ", ""),
    "greek": ("{0:%-d/%-m/%y, %-I:%M} {halves[0]} - ", ""),
    "arabic": ("{0:%-d/%-m/%Y}، {0:%-I:%M} {halves[1]} - ", ""),
    "arabic, with marks": ("{0:%-d}\u200f/{0:%-m}\u200f/{0:%Y}، {0:%-I:%M} {halves[1]} - ", ""),
    "arabic, ios": ("[{0:%-d}\u200f/{0:%-m}\u200f/{0:%Y}، {0:%-I:%M:%S} {halves[1]}] ", "\u200e"),
    "chinese": ("{0:%Y/%-m/%-d} {halves[2]}{0:%-I:%M} - ", ""),
    "korean": ("{0:%Y. %-m. %-d.} {halves[3]} {0:%-I:%M} - ", ""),
}
HALVES = [("π.μ.", "μ.μ."), ("ص", "م"), ("上午", "下午"), ("오전", "오후")]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("kind", WHATSAPP)
def test_whatsapp(kind, line_end, capfd):
    sources._tell_left_out.cache_clear()
    form, mark = WHATSAPP[kind]
    nobody = ["Nadia: \u200eMessages and calls are end-to-end encrypted."] if mark else [
        "Messages and calls are end-to-end encrypted. Tap to learn more."
    ]  # fmt: skip
    gone = "\u200eThis message was deleted." if mark else "This message was deleted"
    picture = "\u200eimage omitted" if mark else "<Media omitted>"
    said = [
        (0, nobody[0]),
        (1, "Max: hello: you"),
        (1, "Max: two lines\n\nand a third"),
        (2, f"Max: {picture}"),
        (3, "~\u202fNadia: hi \u200e<This message was edited>"),
        (4, f"Nadia: {gone}"),
        (70, "Max: there?"),
        (71, "Nadia: yes"),
    ]
    lines = []
    for minute, text in said:
        time = BEGIN + timedelta(minutes=minute)
        halves = [half[time.hour > 11] for half in HALVES]
        head = form.format(time, dotted="p.\u00a0m." if time.hour > 11 else "a.\u00a0m.", halves=halves)
        if kind.startswith("arabic"):
            head = head.translate(dict(zip(range(ord("0"), ord("9") + 1), "٠١٢٣٤٥٦٧٨٩", strict=True)))
        lines.append(("\u200e" if mark and "\u200e" in text else "") + head + text)
    Path("WhatsApp Chat with Max.txt").write_text(
        line_end.join("\n".join(lines).split("\n")), encoding="utf-8", newline=""
    )
    Path("chats").mkdir()
    Path("WhatsApp Chat with Max.txt").rename("chats/max.txt")
    Path("chats/readme.txt").write_text("no chat")
    assert dialogues(files=["chats"], assistant="Nadia") == [
        dialogue("hello: you\ntwo lines\n\nand a third", "hi"),
        dialogue("there?", "yes"),
    ]
    assert (
        "chats: text files that are not read, since they do not begin as a chat does: 1 (readme.txt)"
        in capfd.readouterr().err
    )
    left_out = report(files=["chats"], assistant="Nadia")["left_out"]
    assert left_out == ({export.NO_TEXT: 2} if mark else {export.NO_TEXT: 1, export.SERVICE: 1}) | {export.DELETED: 1}


def test_a_timetable_in_a_whatsapp_message_is_not_more_messages():
    lines = [
        "31.12.23, 21:00 - Anna: my week:", "01.02.2024 um 10:30 - Arzt: Dr. B", "02.02.2024 - 11:30 - Kino: with Bob",
        "31.12.23, 21:01 - Bob: fine",
    ]  # fmt: skip
    Path("x.txt").write_text("\n".join(lines))
    asked = "my week:\n01.02.2024 um 10:30 - Arzt: Dr. B\n02.02.2024 - 11:30 - Kino: with Bob"
    assert dialogues(files=["x.txt"], assistant="Bob") == [dialogue(asked, "fine")]


def test_a_word_between_date_and_time_is_no_half_of_the_day():
    (entry,) = entries_of("31/12/2023 a 14:30 - Ana: hola")
    assert entry.time == (14, 30, 0)


def test_whatsapp_messages_that_somebody_typed_stay_and_deleted_ones_go():
    """Other direction marks than U+200E stand before Hebrew, and around numbers that were pasted."""
    said = [
        "Anna: hi", "Bob: \u202a+7 921 123\u202c is my number", "Anna: \u200fשלום", "Bob: fine",
        "Bob: Dit bericht is verwijderd", "Bob: Este mensaje fue eliminado", "Anna: bye", "Bob: yes <Se editó este mensaje.>",
        "Bob: ja <Dit bericht is bewerkt>",
    ]  # fmt: skip
    Path("x.txt").write_text("\n".join(f"31.12.23, 21:{i:02} - {text}" for i, text in enumerate(said)))
    (talk,) = dialogues(files=["x.txt"], assistant="Bob")
    assert [m["content"] for m in talk] == [
        "hi",
        "\u202a+7 921 123\u202c is my number",
        "\u200fשלום",
        "fine",
        "bye",
        "yes\nja",
    ]
    assert report(files=["x.txt"], assistant="Bob")["left_out"] == {export.DELETED: 2}


@pytest.mark.parametrize(
    ("dates", "order"),
    [
        (["31.12.23", "01.02.24"], "dmy"),
        (["12/31/23", "1/2/24"], "mdy"),
        (["2023-12-01", "2024-01-02"], "ymd"),
        (["01/02/24", "02/02/24", "01/03/24"], "dmy"),  # only the order of time tells
        (["02/01/24", "02/02/24", "03/01/24"], "mdy"),
    ],
)
def test_the_order_of_day_and_month(dates, order):
    text = "\n".join(f"{date}, 10:00 - Max: hello" for date in dates)
    assert order_of_date(list(entries_of(text))) == order


def test_a_caption_stays_where_its_picture_goes():
    text = "01.02.24, 10:00 - Max: \u200eIMG-1.jpg (file attached)\nmy cat\n01.02.24, 10:01 - Nadia: pretty"
    Path("chat.txt").write_text(text, encoding="utf-8")
    assert dialogues(files=["chat.txt"], assistant="Nadia") == [dialogue("my cat", "pretty")]
    assert report(files=["chat.txt"], assistant="Nadia")["parts_left_out"] == {export.PARTS: 1}


def test_documents_and_captions_of_an_export_of_ios_without_media():
    said = [
        "Max: Sequence and Series.pdf • \u200e31 pages \u200edocument omitted", "Max: plan.dwg \u200eDokument weggelassen",
        "Max: my cat \u200eimage omitted", "Max: call \u200e+49 171 234567", "Nadia: pretty, isn't it? \u200eimage omitted",
    ]  # fmt: skip
    lines = (f"\u200e[13/11/25, 1:05:{i:02}\u202fAM] {text}" for i, text in enumerate(said, 10))
    Path("_chat.txt").write_text("\r\n".join(lines), encoding="utf-8", newline="")
    want = [dialogue("my cat\ncall \u200e+49 171 234567", "pretty, isn't it?")]
    assert dialogues(files=["_chat.txt"], assistant="Nadia") == want
    found = report(files=["_chat.txt"], assistant="Nadia")
    assert (found["left_out"], found["parts_left_out"]) == ({export.NO_TEXT: 2}, {export.PARTS: 2})


SCRIPT = """Anna: hello
Bot: hi!
how are you?
Anna:
fine
Note: I am tired

Anna: a new one
Bot: yes
"""


def test_lines_that_begin_with_a_name():
    Path("x.txt").write_text(SCRIPT)
    want = [dialogue("hello", "hi!\nhow are you?", "fine\nNote: I am tired"), dialogue("a new one", "yes")]
    want[0] = want[0][:2]  # nobody answered
    assert dialogues(files=["x.txt"], assistant="Bot") == want
    assert report(files=["x.txt"], assistant="Bot")["export"] == "lines of 'Name: text'"
    assert dialogues(files=["x.txt"], roles={"anna": "user"}) == want  # bot is a known role


def test_empty_lines_between_all_messages_and_rules_between_dialogues():
    Path("x.txt").write_text(
        "User: a\n\nAssistant: b\n\nUser: c\n\nAssistant: d\n\nstill d\n---\nUser: e\n\nAssistant: f\n"
    )
    assert dialogues(files=["x.txt"]) == [dialogue("a", "b", "c", "d\n\nstill d"), dialogue("e", "f")]


@pytest.mark.parametrize(
    "text", ["once upon a time\nthere was a king", "Title: a book\n\nIt was a dark night.", "", "\n\n"]
)
def test_prose_is_no_chat(text):
    Path("x.txt").write_text(text)
    told = refused(files=["x.txt"])
    assert (
        "raw text belongs into pretrain.files; in a text with dialogues each message begins as in 'Anna: hello'" in told
    )


# --- whatever a file holds -------------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    [
        "messages",
        "type",
        "id",
        "mapping",
        "current_node",
        "chat_messages",
        "chats",
        "list",
        "guild",
        "channel",
        "message",
        "author",
    ]
    + [
        "role",
        "content",
        "parts",
        "parent",
        "text",
        "from",
        "date_unixtime",
        "date",
        "sender",
        "name",
        "mes",
        "is_user",
        "user_name",
    ]
    + ["character_name", "swipes", "content_type", "metadata", "weight", "timestamp", "attachments"]
)
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | NAMES
    | st.just("message")
    | st.just("text"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=25,
)


def survives(holds: str, value) -> None:
    """Each kind of export either does not recognise the value, or counts all messages in it, or refuses it."""
    for kind in export_kinds():
        if kind.holds != holds or not kind.recognises(value):
            continue
        chat = Chat(DataConfig(assistant="text"), where="x")
        found = None
        with suppress(MinitronError):  # the error that it is not known who answers
            found = list(chat.rows(kind, value))
        if found is None:
            continue
        assert chat.messages == chat.kept + chat.left_out.total()
        assert chat.dialogues == len(found)
        chat.lines()
        json.dumps(chat.about())


@settings(max_examples=400, deadline=None)
@given(st.lists(st.fixed_dictionaries({}, optional={"mapping": st.dictionaries(st.text(max_size=2), JUNK), "chat_messages": JUNK}))
       | st.fixed_dictionaries({"messages": JUNK, "type": JUNK, "id": JUNK})
       | st.fixed_dictionaries({"messages": JUNK, "guild": JUNK, "channel": JUNK})
       | st.fixed_dictionaries({"chats": st.fixed_dictionaries({"list": JUNK})}))  # fmt: skip
def test_exports_that_hold_anything(value):
    survives("json", value)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.dictionaries(NAMES, JUNK, max_size=6), max_size=5))
def test_lines_that_hold_anything(value):
    survives("lines", [{"user_name": "a", "character_name": "b"}, *value])


PIECES = [
    "31.12.23, 21:15 - ",
    "[1/2/24, 9:15:10\u202fPM] ",
    "Max: ",
    "Nadia: ",
    "\n",
    "\u200e",
    "hello",
    "<Media omitted>",
    ":",
    "---",
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=30).map("".join))
def test_texts_that_hold_anything(value):
    survives("text", value)
