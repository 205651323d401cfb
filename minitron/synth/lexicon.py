"""The words that skills draw on: pure data, in English and Russian. Knows nothing about questions or answers."""


def _rows(text: str, *, columns: int) -> list[tuple[str, ...]]:
    """Rows of `columns` fields: rows are separated by line ends or semicolons, fields by bars."""
    rows = [tuple(f.strip() for f in row.split("|")) for line in text.strip().splitlines() for row in line.split(";")]
    rows = [row for row in rows if row != ("",)]
    assert all(len(row) == columns for row in rows), [row for row in rows if len(row) != columns]
    return rows


def _words(text: str) -> list[str]:
    return text.split()


OPPOSITES = {
    "en": _rows(
        """
        hot|cold; big|small; fast|slow; day|night; up|down; left|right; open|closed; old|new; happy|sad; good|bad
        black|white; early|late; full|empty; hard|soft; heavy|light; high|low; long|short; loud|quiet; near|far
        rich|poor; strong|weak; thick|thin; wet|dry; wide|narrow; yes|no; first|last; clean|dirty; easy|difficult
        begin|end; before|after; inside|outside; push|pull; win|lose; buy|sell; love|hate; true|false; brave|afraid
        deep|shallow; smooth|rough; sweet|bitter; sharp|dull; friend|enemy; question|answer; summer|winter
        """,
        columns=2,
    ),
    "ru": _rows(
        """
        горячий|холодный; большой|маленький; быстрый|медленный; день|ночь; верх|низ; левый|правый
        открытый|закрытый; старый|новый; весёлый|грустный; хороший|плохой; чёрный|белый; рано|поздно; полный|пустой
        твёрдый|мягкий; тяжёлый|лёгкий; высокий|низкий; длинный|короткий; громкий|тихий; близко|далеко
        богатый|бедный; сильный|слабый; толстый|тонкий; мокрый|сухой; широкий|узкий; да|нет; первый|последний
        чистый|грязный; трудный|простой; начало|конец; внутри|снаружи; вперёд|назад; купить|продать
        любовь|ненависть; правда|ложь; смелый|трусливый; глубокий|мелкий; гладкий|шершавый; сладкий|горький
        острый|тупой; друг|враг; вопрос|ответ; лето|зима; всегда|никогда; свет|тьма; добрый|злой
        """,
        columns=2,
    ),
}

# what | its colour
COLOURS = {
    "en": _rows(
        """
        the grass|green; the sky|blue; the sun|yellow; snow|white; coal|black; blood|red; a lemon|yellow; a carrot|orange
        milk|white; chocolate|brown; a frog|green; a tomato|red; a banana|yellow; a cucumber|green; a strawberry|red
        an elephant|grey; a crow|black; a swan|white; the sea|blue; a pig|pink; a flamingo|pink; a bear|brown; salt|white
        an eggplant|purple; a plum|purple; a cherry|red; an orange|orange; a mouse|grey; cocoa|brown; a fire engine|red
        """,
        columns=2,
    ),
    "ru": _rows(
        """
        трава|зелёного; небо|голубого; солнце|жёлтого; снег|белого; уголь|чёрного; кровь|красного; лимон|жёлтого
        морковь|оранжевого; молоко|белого; шоколад|коричневого; лягушка|зелёного; помидор|красного; банан|жёлтого
        огурец|зелёного; клубника|красного; слон|серого; ворон|чёрного; лебедь|белого; море|синего; фламинго|розового
        медведь|коричневого; соль|белого; баклажан|фиолетового; слива|фиолетового; вишня|красного; апельсин|оранжевого
        мышь|серого; какао|коричневого; василёк|синего; пожарная машина|красного; свинья|розового
        """,
        columns=2,
    ),
}

SOUNDS = {
    "en": _rows(
        """
        cow|moo; cat|meow; dog|woof; duck|quack; rooster|cock-a-doodle-doo; frog|ribbit; mouse|squeak; sheep|baa; goat|maa
        pig|oink; horse|neigh; goose|honk; bee|buzz; snake|hiss; wolf|awoo; lion|roar; bird|tweet; crow|caw; cuckoo|cuckoo
        donkey|hee-haw; owl|hoot; hen|cluck; turkey|gobble
        """,
        columns=2,
    ),
    "ru": _rows(
        """
        корова|му; кошка|мяу; собака|гав; утка|кря; петух|кукареку; лягушка|ква; мышь|пи-пи; овца|бе; коза|ме; свинья|хрю
        лошадь|иго-го; гусь|га-га; пчела|жжж; змея|шшш; волк|ууу; лев|р-р-р; воробей|чик-чирик; ворона|кар; кукушка|ку-ку
        осёл|иа; сова|ух; курица|ко-ко; голубь|гули-гули
        """,
        columns=2,
    ),
}

# country | capital; in Russian the country is in the genitive
CAPITALS = {
    "en": _rows(
        """
        France|Paris; Russia|Moscow; Germany|Berlin; Italy|Rome; Spain|Madrid; Japan|Tokyo; China|Beijing
        the United Kingdom|London; Poland|Warsaw; Greece|Athens; Portugal|Lisbon; Austria|Vienna; Norway|Oslo
        Sweden|Stockholm; Finland|Helsinki; Ireland|Dublin; Egypt|Cairo; Turkey|Ankara; Hungary|Budapest; Cuba|Havana
        the Czech Republic|Prague; Canada|Ottawa; Belgium|Brussels; Denmark|Copenhagen; India|New Delhi; Serbia|Belgrade
        Armenia|Yerevan; Georgia|Tbilisi; Mongolia|Ulaanbaatar; Argentina|Buenos Aires; Iran|Tehran; Latvia|Riga
        """,
        columns=2,
    ),
    "ru": _rows(
        """
        Франции|Париж; России|Москва; Германии|Берлин; Италии|Рим; Испании|Мадрид; Японии|Токио; Китая|Пекин
        Великобритании|Лондон; Польши|Варшава; Греции|Афины; Португалии|Лиссабон; Австрии|Вена; Норвегии|Осло
        Швеции|Стокгольм; Финляндии|Хельсинки; Ирландии|Дублин; Египта|Каир; Турции|Анкара; Венгрии|Будапешт; Кубы|Гавана
        Чехии|Прага; Канады|Оттава; Бельгии|Брюссель; Дании|Копенгаген; Индии|Нью-Дели; Сербии|Белград
        Армении|Ереван; Грузии|Тбилиси; Монголии|Улан-Батор; Аргентины|Буэнос-Айрес; Ирана|Тегеран; Латвии|Рига
        """,
        columns=2,
    ),
}

# English | Russian; each word has one translation in either direction
TRANSLATIONS = _rows(
    """
    cat|кошка; dog|собака; house|дом; sun|солнце; moon|луна; water|вода; bread|хлеб; milk|молоко; book|книга; tree|дерево
    flower|цветок; river|река; sea|море; sky|небо; star|звезда; friend|друг; mother|мама; father|папа; brother|брат
    sister|сестра; school|школа; city|город; street|улица; car|машина; train|поезд; door|дверь; window|окно; table|стол
    chair|стул; bed|кровать; hand|рука; head|голова; eye|глаз; heart|сердце; apple|яблоко; fish|рыба; bird|птица
    horse|лошадь; cow|корова; bear|медведь; wolf|волк; fox|лиса; mouse|мышь; snow|снег; rain|дождь; wind|ветер; fire|огонь
    forest|лес; mountain|гора; road|дорога; day|день; night|ночь; morning|утро; evening|вечер; year|год; winter|зима
    spring|весна; summer|лето; autumn|осень; red|красный; green|зелёный; white|белый; black|чёрный; yellow|жёлтый
    good|хороший; new|новый; word|слово; letter|письмо; song|песня; game|игра; name|имя; love|любовь; peace|мир; work|работа
    tea|чай; coffee|кофе; sugar|сахар; salt|соль; meat|мясо; soup|суп; cheese|сыр; egg|яйцо; key|ключ; ship|корабль
    """,
    columns=2,
)

# thing | its kind; English with articles
CATEGORIES = {
    "en": _rows(
        """
        an apple|a fruit; a pear|a fruit; a banana|a fruit; a peach|a fruit; a cow|an animal; a cat|an animal; a dog|an animal
        a horse|an animal; a fox|an animal; a sparrow|a bird; an eagle|a bird; an owl|a bird; a crow|a bird; a pike|a fish
        a salmon|a fish; a shark|a fish; an oak|a tree; a pine|a tree; a birch|a tree; a rose|a flower; a tulip|a flower
        a daisy|a flower; a carrot|a vegetable; a potato|a vegetable; a cabbage|a vegetable; a sofa|furniture; a table|furniture
        a wardrobe|furniture; a shirt|clothes; a coat|clothes; a dress|clothes; a bus|transport; a tram|transport
        a train|transport; a hammer|a tool; a saw|a tool; a guitar|a musical instrument; a violin|a musical instrument
        a piano|a musical instrument; a bee|an insect; an ant|an insect; a butterfly|an insect
        """,
        columns=2,
    ),
    "ru": _rows(
        """
        яблоко|фрукт; груша|фрукт; банан|фрукт; персик|фрукт; корова|животное; кошка|животное; собака|животное
        лошадь|животное; лиса|животное; воробей|птица; орёл|птица; сова|птица; ворона|птица; щука|рыба; лосось|рыба
        акула|рыба; дуб|дерево; сосна|дерево; берёза|дерево; роза|цветок; тюльпан|цветок; ромашка|цветок; морковь|овощ
        картофель|овощ; капуста|овощ; диван|мебель; стол|мебель; шкаф|мебель; рубашка|одежда; пальто|одежда; платье|одежда
        автобус|транспорт; трамвай|транспорт; поезд|транспорт; молоток|инструмент; пила|инструмент
        гитара|музыкальный инструмент; скрипка|музыкальный инструмент; пианино|музыкальный инструмент; пчела|насекомое
        муравей|насекомое; бабочка|насекомое
        """,
        columns=2,
    ),
}

# how many ... | answer as a sentence | the number
AMOUNTS = {
    "en": _rows(
        """
        days are in a week|There are 7 days in a week|7; months are in a year|There are 12 months in a year|12
        hours are in a day|There are 24 hours in a day|24; minutes are in an hour|There are 60 minutes in an hour|60
        seconds are in a minute|There are 60 seconds in a minute|60; legs does a cat have|A cat has 4 legs|4
        legs does a spider have|A spider has 8 legs|8; legs does an ant have|An ant has 6 legs|6
        legs does a bird have|A bird has 2 legs|2; fingers are on one hand|There are 5 fingers on one hand|5
        wheels does a car have|A car has 4 wheels|4; wheels does a bicycle have|A bicycle has 2 wheels|2
        seasons are in a year|There are 4 seasons in a year|4; sides does a triangle have|A triangle has 3 sides|3
        sides does a square have|A square has 4 sides|4; letters are in the English alphabet|The English alphabet has 26 letters|26
        colours are in a rainbow|A rainbow has 7 colours|7; eyes does a person have|A person has 2 eyes|2
        days are in a year|There are 365 days in a year|365; centimetres are in a metre|There are 100 centimetres in a metre|100
        """,
        columns=3,
    ),
    "ru": _rows(
        """
        дней в неделе|В неделе 7 дней|7; месяцев в году|В году 12 месяцев|12; часов в сутках|В сутках 24 часа|24
        минут в часе|В часе 60 минут|60; секунд в минуте|В минуте 60 секунд|60; лап у кошки|У кошки 4 лапы|4
        ног у паука|У паука 8 ног|8; ног у муравья|У муравья 6 ног|6; лап у птицы|У птицы 2 лапы|2
        пальцев на одной руке|На одной руке 5 пальцев|5; колёс у машины|У машины 4 колеса|4
        колёс у велосипеда|У велосипеда 2 колеса|2; времён года|Всего 4 времени года|4
        сторон у треугольника|У треугольника 3 стороны|3; сторон у квадрата|У квадрата 4 стороны|4
        букв в русском алфавите|В русском алфавите 33 буквы|33; цветов у радуги|У радуги 7 цветов|7
        глаз у человека|У человека 2 глаза|2; дней в году|В году 365 дней|365; сантиметров в метре|В метре 100 сантиметров|100
        """,
        columns=3,
    ),
}

# Russian days and months: nominative | genitive | instrumental | was (agreeing in gender)
DAYS = {
    "en": _rows("Monday; Tuesday; Wednesday; Thursday; Friday; Saturday; Sunday", columns=1),
    "ru": _rows(
        """
        понедельник|понедельника|понедельником|был; вторник|вторника|вторником|был; среда|среды|средой|была
        четверг|четверга|четвергом|был; пятница|пятницы|пятницей|была; суббота|субботы|субботой|была
        воскресенье|воскресенья|воскресеньем|было
        """,
        columns=4,
    ),
}
MONTHS = {
    "en": _rows(
        "January; February; March; April; May; June; July; August; September; October; November; December", columns=1
    ),
    "ru": _rows(
        """
        январь|января|январём|был; февраль|февраля|февралём|был; март|марта|мартом|был; апрель|апреля|апрелем|был
        май|мая|маем|был; июнь|июня|июнем|был; июль|июля|июлем|был; август|августа|августом|был
        сентябрь|сентября|сентябрём|был; октябрь|октября|октябрём|был; ноябрь|ноября|ноябрём|был
        декабрь|декабря|декабрём|был
        """,
        columns=4,
    ),
}
SEASONS = {"en": ("winter", "spring", "summer", "autumn"), "ru": ("зима", "весна", "лето", "осень")}

NUMBER_WORDS = {
    "en": _words(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
        " seventeen eighteen nineteen twenty"
    ),
    "ru": _words(
        "ноль один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать тринадцать"
        " четырнадцать пятнадцать шестнадцать семнадцать восемнадцать девятнадцать двадцать"
    ),
}

# Words to spell and to ask letters of: short ones of common letters.
SPELLING = {
    "en": _words(
        "cat dog sun moon tree house milk bread fish bird book star rain snow hand nose frog lion bear duck ball door"
        " lamp king ship rose leaf apple water green happy small river table chair smile train money night light"
        " paper plant stone"
    ),
    "ru": _words(
        "кот дом сон лес мир сад рот нос лист стол стул снег дождь рука нога вода зима лето река гора мост парк хлеб"
        " сыр мама папа книга школа ручка лампа кошка рыба птица цветок дерево город ветер небо море луна песня"
    ),
}

# Words to repeat, in any order and number.
ECHO = {
    "en": _words(
        "sun cat tree red blue car moon fish book happy dog milk snow star green lamp apple river ball king rain bird"
        " ship cloud bread stone chair fox leaf gold sweet train"
    ),
    "ru": _words(
        "солнце кот дерево синий машина луна рыба книга снег звезда лампа яблоко река мяч дождь птица корабль облако"
        " хлеб камень стул лиса лист золото поезд дом гора чай мёд весна"
    ),
}
# Little sentences to repeat: every combination is grammatical (Russian nouns here are all masculine).
ECHO_SENTENCE = {
    "en": (
        _words("the"),
        _words("red little old kind funny brave white sleepy big quick"),
        _words("cat dog bear fox robot king bird horse wolf mouse"),
        _words("sleeps sings runs dances laughs reads jumps smiles thinks eats"),
    ),
    "ru": (
        _words("наш мой твой"),
        _words("рыжий маленький старый добрый смешной смелый белый сонный большой быстрый"),
        _words("кот пёс медведь заяц робот король слон конь волк ёжик"),
        _words("спит поёт бежит танцует смеётся читает прыгает улыбается думает ест"),
    ),
}

NAMES = {
    "en": _words(
        "Anna Emma Olivia Mia Sophie Alice Grace Lily Ella Lucy Ruby Chloe Eva Zoe Kate Mary Sarah Laura Julia Helen Jane"
        " Rose Amy Nora Clara Diana Victoria Maria Linda Susan Karen Nancy Betty Carol Sandra Donna Tina Rita Vera Hannah"
        " Tom Jack Harry Oscar Leo Max Sam Ben Adam Alex Daniel David Peter Paul Mark John James Robert Michael William"
        " George Henry Oliver Noah Liam Lucas Ethan Mason Logan Jacob Ryan Nathan Dylan Luke Simon Martin Victor Eric Kevin"
        " Brian Steve Frank Walter Arthur Felix Hugo Ivan Igor Oleg Boris Denis Anton Roman Kirill Masha Dasha Olga Nina Katya"
        " Bella Fiona Gloria Heidi Irene Joan Kelly Lena Megan Naomi Paula Rachel Stella Tanya Wendy Aaron Bruce Carl Derek"
        " Edgar Fred Gary Ian Joel Keith Larry Miles Neil Owen Philip Ralph Scott Todd Vincent Wayne"
    ),
    "ru": _words(
        "Анна Мария Ольга Елена Наталья Ирина Татьяна Светлана Юлия Анастасия Дарья Екатерина Ксения Полина Алиса Вера"
        " Надежда Любовь София Виктория Вероника Марина Нина Лариса Галина Людмила Тамара Зоя Валентина Алёна Маша Даша Катя"
        " Оля Лена Наташа Таня Света Юля Настя Ксюша Поля Вика Соня Иван Пётр Сергей Андрей Алексей Дмитрий Михаил Николай"
        " Владимир Александр Максим Артём Илья Кирилл Никита Егор Роман Олег Игорь Борис Виктор Юрий Павел Антон Денис"
        " Евгений Константин Григорий Фёдор Степан Матвей Тимофей Лев Марк Глеб Захар Тимур Руслан Вадим Вова Петя Ваня Серёжа"
        " Андрюша Лёша Дима Миша Коля Саша Рома Паша Антоша Женя Костя Гриша Федя Стёпа Кристина Диана Карина Яна Эмма Ева"
        " Ульяна Арина Варвара Василиса Милана Злата Регина Инна Жанна Эльвира Семён Ярослав Богдан Данила Савелий Арсений"
        " Герман Филипп Эдуард Леонид Аркадий Давид"
    ),
}
# Sounds of invented words (onsets, vowels, codas). Such words teach a model to copy what it was told, not to recall a list.
SOUNDS_OF_WORDS = {
    "en": (
        _words("b d f g h j k l m n p r s t v w z th sh st tr br gr kl pl"),
        _words("a e i o u a e i o ea oo"),
        _words("n r l s m t k d x th nd rt ck"),
    ),
    "ru": (
        _words("б в г д ж з к л м н п р с т ф х ч ш ст тр бр гр кл пл"),
        _words("а е и о у я ю а и о"),
        _words("н р л с м т к й ш в нд рт"),
    ),
}

CITIES = {
    "en": _words(
        "Paris London Berlin Rome Madrid Moscow Tokyo Vienna Prague Oslo Dublin Boston Chicago Kazan Sochi Omsk"
    ),
    "ru": _words("Москва Казань Сочи Омск Самара Тула Пермь Париж Лондон Берлин Рим Прага Минск Псков Тверь Уфа"),
}

CATS = {
    "en": _words("Murka Fluffy Tiger Snowy Smokey Ginger Puss Misty Shadow Honey Pepper Coco Luna Felix"),
    "ru": _words("Мурка Барсик Пушок Снежок Дымок Рыжик Васька Маркиз Тишка Соня Багира Симба Кузя Персик"),
}

# (kind, values); a Russian kind comes with "мой любимый", "твой любимый" and "какой" in its gender
FAVOURITES = {
    "en": [
        ("colour", _words("red blue green yellow white black orange purple pink grey brown gold")),
        ("animal", _words("cat dog fox bear wolf horse rabbit owl tiger lion dolphin panda")),
        ("fruit", _words("apple pear banana lemon peach plum cherry orange mango kiwi grape melon")),
        ("drink", _words("tea coffee milk water juice cocoa lemonade kvass cola soda")),
        ("number", _words("1 2 3 4 5 6 7 8 9 10 11 12 13 15 17 21 42")),
        ("season", _words("winter spring summer autumn")),
        ("food", _words("pizza soup pasta rice bread cheese salad borscht sushi cake porridge pancakes")),
        ("sport", _words("football tennis hockey chess boxing swimming skiing running golf rugby")),
        ("day", _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")),
        ("city", _words("Paris London Berlin Rome Madrid Moscow Tokyo Vienna Prague Oslo Dublin Boston")),
        (
            "name",
            _words("Anna Emma Mia Sophie Alice Lily Lucy Eva Kate Mary Tom Jack Harry Leo Sam Ben Adam Alex David"),
        ),
    ],
    "ru": [
        (
            "цвет|мой любимый|твой любимый|какой",
            _words("красный синий зелёный жёлтый белый чёрный оранжевый розовый серый"),
        ),
        (
            "животное|моё любимое|твоё любимое|какое",
            _words("кошка собака лиса медведь волк лошадь кролик сова тигр лев панда"),
        ),
        (
            "фрукт|мой любимый|твой любимый|какой",
            _words("яблоко груша банан лимон персик слива апельсин манго киви дыня"),
        ),
        ("напиток|мой любимый|твой любимый|какой", _words("чай кофе молоко вода сок какао лимонад квас кола компот")),
        ("число|моё любимое|твоё любимое|какое", _words("1 2 3 4 5 6 7 8 9 10 11 12 13 15 17 21 42")),
        ("время года|моё любимое|твоё любимое|какое", _words("зима весна лето осень")),
        ("еда|моя любимая|твоя любимая|какая", _words("пицца суп каша рис хлеб сыр салат борщ плов торт блины")),
        ("спорт|мой любимый|твой любимый|какой", _words("футбол теннис хоккей шахматы бокс плавание лыжи бег гольф")),
        (
            "день|мой любимый|твой любимый|какой",
            _words("понедельник вторник среда четверг пятница суббота воскресенье"),
        ),
        ("город|мой любимый|твой любимый|какой", _words("Москва Казань Сочи Омск Самара Тула Пермь Париж Лондон Рим")),
        (
            "имя|моё любимое|твоё любимое|какое",
            _words(
                "Анна Мария Ольга Елена Ирина Юлия Дарья Алиса София Марина Иван Сергей Андрей Павел Антон Денис Егор"
            ),
        ),
    ],
}

# Every favourite thing may also be a favourite word, so that a value that is held out as a food is still a word that training has.
for _language, _kind in (("en", "word"), ("ru", "слово|моё любимое|твоё любимое|какое")):
    _values = [v for _, values in FAVOURITES[_language] for v in values if not v.isdigit()]
    FAVOURITES[_language].append((_kind, list(dict.fromkeys(_values + ECHO[_language]))))

LISTS = {
    "en": [
        ("fruits", "Apple, pear and banana"), ("animals", "Cat, dog and horse"), ("colours", "Red, green and blue"),
        ("birds", "Owl, crow and eagle"), ("vegetables", "Carrot, potato and cabbage"), ("trees", "Oak, pine and birch"),
        ("flowers", "Rose, tulip and daisy"), ("fish", "Pike, salmon and shark"), ("drinks", "Tea, coffee and milk"),
        ("insects", "Bee, ant and butterfly"), ("cities", "London, Paris and Moscow"), ("tools", "Hammer, saw and axe"),
    ],
    "ru": [
        ("фрукта", "Яблоко, груша и банан"), ("животных", "Кошка, собака и лошадь"), ("цвета", "Красный, зелёный и синий"),
        ("птицы", "Сова, ворона и орёл"), ("овоща", "Морковь, картофель и капуста"), ("дерева", "Дуб, сосна и берёза"),
        ("цветка", "Роза, тюльпан и ромашка"), ("рыбы", "Щука, лосось и акула"), ("напитка", "Чай, кофе и молоко"),
        ("насекомых", "Пчела, муравей и бабочка"), ("города", "Москва, Париж и Лондон"), ("инструмента", "Молоток, пила и топор"),
    ],
}  # fmt: skip
