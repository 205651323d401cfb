"""HOW-TO-OPEN.txt: one page for a friend who knows nothing about models, in Russian and in English.

It quotes the warnings of Windows and macOS in the words that people see. Knows nothing about files.
"""

RUSSIAN = """\
{title} {version}: КАК ОТКРЫТЬ

Это программа, с которой можно поговорить. Маленькая языковая модель лежит внутри неё, в одном файле.

WINDOWS
Скачайте файл, в имени которого есть windows-amd64 (windows-arm64 — только для компьютеров на Snapdragon), и откройте его
двойным щелчком. Если появилось синее окно «Система Windows защитила ваш компьютер», нажмите «Подробнее», потом «Выполнить
в любом случае»: Windows говорит так о каждой программе, которую ещё мало кто скачивал и за подпись которой не заплачено.
Если программу остановило «Интеллектуальное управление приложениями» (Smart App Control), такой кнопки нет. Выключать эту
защиту ради одной программы не стоит: откройте программу на другом компьютере.

MAC
Скачайте файл, имя которого кончается на macos.zip, откройте его двойным щелчком, в появившейся папке откройте {name}.
Если Mac говорит, что не может проверить программу, нажмите «Готово» (не «Переместить в Корзину»), откройте «Системные
настройки» > «Конфиденциальность и безопасность», внизу нажмите «Всё равно открыть» и введите пароль. Это нужно один раз.
То же в программе «Терминал»: наберите cd и пробел, перетащите папку в окно, нажмите Enter, потом выполните
    xattr -d com.apple.quarantine {name}; chmod +x {name}; ./{name}

LINUX
Распакуйте linux-amd64.zip (linux-arm64.zip — для Raspberry Pi и подобных) и запустите в терминале ./{name}
Если скачан сам файл, а не zip, сначала выполните chmod +x и имя файла.

ЧЕГО ПРОГРАММА НЕ ДЕЛАЕТ
Не выходит в сеть. Ничего не устанавливает, не скачивает и не распаковывает. Ничего никому не сообщает. Страница в браузере
(команда web) открывается только по вашей просьбе и видна только на этом компьютере.

ТОТ ЛИ ЭТО ФАЙЛ
Сравните сумму SHA-256 с той, что в файле SHA256SUMS (пусть друг пришлёт её отдельно):
    Windows:  certutil -hashfile ИМЯ_ФАЙЛА SHA256
    Mac:      shasum -a 256 ИМЯ_ФАЙЛА
    Linux:    sha256sum ИМЯ_ФАЙЛА
О повреждённом файле программа скажет сама, если сможет запуститься.

КАК УДАЛИТЬ
Удалите файл. Кроме него, на диске есть только папка minitron-chat с тем, что вы набирали и как отмечали ответы (беседы
на странице хранит браузер):
    Windows:  %AppData%\\minitron-chat
    Mac:      ~/Library/Application Support/minitron-chat
    Linux:    ~/.config/minitron-chat
{licence}"""

ENGLISH = """\
{title} {version}: HOW TO OPEN

This is a program to talk with. A small language model is inside it, in one file.

WINDOWS
Download the file with windows-amd64 in its name (windows-arm64 is for computers with a Snapdragon only) and double-click it.
If a blue window says "Windows protected your PC", click "More info", then "Run anyway": Windows says so of every program that
few people have downloaded yet and for whose signature nobody paid.
If Smart App Control stops the program, there is no such button. Do not turn that protection off for one program: open it on
another computer.

MAC
Download the file that ends in macos.zip, double-click it, and open {name} in the folder that appears.
If the Mac says that it could not verify the program, click "Done" (not "Move to Trash"), open System Settings > Privacy &
Security, scroll down, click "Open Anyway" and type your password. This is needed once.
The same in Terminal: type cd and a space, drag the folder into the window, press Enter, then run
    xattr -d com.apple.quarantine {name}; chmod +x {name}; ./{name}

LINUX
Unpack linux-amd64.zip (linux-arm64.zip is for a Raspberry Pi and the like) and run ./{name} in a terminal.
If you have the file itself, not the zip, first run chmod +x and its name.

WHAT THE PROGRAM DOES NOT DO
It does not use the network. It installs, downloads and unpacks nothing. It reports nothing to anybody. The page in the
browser (the command web) opens only if you ask for it and is seen on this computer only.

IS IT THE RIGHT FILE
Compare its SHA-256 with the one in SHA256SUMS (let your friend send that separately):
    Windows:  certutil -hashfile FILE SHA256
    Mac:      shasum -a 256 FILE
    Linux:    sha256sum FILE
The program itself says when its file is damaged, if it can start at all.

HOW TO GET RID OF IT
Delete the file. Beside it there is only the folder minitron-chat, with what you typed and how you labelled answers (chats on the
page are kept by the browser):
    Windows:  %AppData%\\minitron-chat
    Mac:      ~/Library/Application Support/minitron-chat
    Linux:    ~/.config/minitron-chat
{licence}"""


def text(title: str, version: str, licence: str, *, name: str) -> bytes:
    """The page in a form that Notepad shows: UTF-8 with a byte order mark, lines that end in CR LF. `name`: the program's in the zips."""
    title, version, licence = (" ".join(part.split()) for part in (title, version, licence))
    pages = []
    for page, heading in ((RUSSIAN, "ЛИЦЕНЗИЯ"), (ENGLISH, "LICENCE")):
        note = f"\n{heading}\n{licence}\n" if licence else ""
        pages.append(page.format(title=title, version=version, licence=note, name=name))
    return b"\xef\xbb\xbf" + f"\n{'-' * 72}\n\n".join(pages).replace("\n", "\r\n").encode(errors="replace")
