"""What people ask about that no skill covers: pure data, in English and Russian, for `border`.

`TOPICS` are things to talk about, `DOINGS` are activities that people want to learn or do, `WHO` and `WHY` are ends of
questions, `PIECES` are kinds of text that people ask for. A Russian topic comes with its prepositional case
("собаки|собаках").
"""


def _rows(text: str) -> list[str]:
    return [item.strip() for line in text.strip().splitlines() for item in line.split(";") if item.strip()]


TOPICS = {
    "en": [
        (x, x)
        for x in _rows(
            """
            dogs; cats; horses; elephants; whales; dolphins; sharks; spiders; dinosaurs; wolves; birds; bees; butterflies; penguins; tigers
            snakes; ants; trees; flowers; roses; mushrooms; forests; deserts; oceans; rivers; mountains; volcanoes; earthquakes; clouds
            lightning; rainbows; hurricanes; climate change; pollution; recycling; solar energy; wind power; electricity; magnets; gravity
            light; sound waves; atoms; molecules; chemistry; physics; biology; evolution; genes; DNA; cells; bacteria; viruses; vaccines
            vitamins; sugar; caffeine; coffee; tea; wine; cheese; bread; pizza; pasta; sushi; salad; breakfast; cooking; baking; diets
            the human body; the heart; the brain; memory; sleep; dreams; headaches; the flu; allergies; stress; anxiety; depression
            doctors; hospitals; medicine; yoga; running; swimming; football; basketball; tennis; chess; boxing; hockey; the Olympics
            music; jazz; opera; the piano; the guitar; the violin; Mozart; Beethoven; the Beatles; dancing; ballet; theatre; cinema
            movies; cartoons; video games; Minecraft; photography; painting; sculpture; Picasso; architecture; museums; fashion
            books; poetry; novels; Shakespeare; Tolstoy; Dostoevsky; Harry Potter; fairy tales; dragons; vampires; ghosts; magic
            history; the Roman Empire; ancient Egypt; the Middle Ages; knights; pirates; the Second World War; the Cold War; revolutions
            Napoleon; Julius Caesar; Einstein; Newton; Darwin; Leonardo da Vinci; Columbus; Gagarin; the pyramids; the Great Wall
            politics; elections; democracy; laws; human rights; taxes; money; banks; inflation; the stock market; bitcoin; insurance
            business; marketing; startups; careers; job interviews; salaries; management; advertising; trade; globalization; economics
            school; universities; homework; exams; teachers; mathematics; algebra; geometry; statistics; probability; prime numbers
            grammar; Latin; the alphabet; writing systems; philosophy; logic; ethics; religion; Buddhism; psychology; consciousness
            space; the universe; black holes; the Moon; Mars; Jupiter; comets; stars; galaxies; rockets; satellites; the big bang; aliens
            computers; the internet; programming; Python; databases; algorithms; robots; artificial intelligence; neural networks
            language models; encryption; passwords; phones; social networks; search engines; 3D printing; virtual reality; drones
            cars; trains; planes; bicycles; ships; submarines; engines; bridges; skyscrapers; elevators; clocks; batteries; lasers
            love; friendship; marriage; divorce; children; parenting; babies; grandparents; happiness; loneliness; death; old age
            travel; hotels; camping; Paris; London; New York; Africa; Antarctica; the Amazon; islands; beaches; Christmas; weddings
            gardening; fishing; knitting; origami; minimalism; time management; habits; motivation; meditation; public speaking
            farming; wheat; gold; diamonds; oil; plastic; glass; paper; soap; perfume; shoes; jeans; tattoos; coins; stamps; maps
            quantum computing; thermodynamics; relativity; photosynthesis; plate tectonics; the water cycle; the food chain; inertia
            """
        )
    ],
    "ru": [
        tuple(pair.split("|"))
        for pair in _rows(
            """
            собаки|собаках; кошки|кошках; лошади|лошадях; слоны|слонах; киты|китах; дельфины|дельфинах; акулы|акулах; пауки|пауках
            динозавры|динозаврах; волки|волках; птицы|птицах; пчёлы|пчёлах; бабочки|бабочках; пингвины|пингвинах; тигры|тиграх; змеи|змеях
            муравьи|муравьях; деревья|деревьях; цветы|цветах; розы|розах; грибы|грибах; леса|лесах; пустыни|пустынях; океаны|океанах
            реки|реках; горы|горах; вулканы|вулканах; землетрясения|землетрясениях; облака|облаках; молния|молнии; радуга|радуге
            ураганы|ураганах; климат|климате; экология|экологии; электричество|электричестве; магниты|магнитах; гравитация|гравитации
            свет|свете; звук|звуке; атомы|атомах; молекулы|молекулах; химия|химии; физика|физике; биология|биологии; эволюция|эволюции
            гены|генах; ДНК|ДНК; клетки|клетках; бактерии|бактериях; вирусы|вирусах; прививки|прививках; витамины|витаминах; сахар|сахаре
            кофе|кофе; чай|чае; вино|вине; сыр|сыре; хлеб|хлебе; пицца|пицце; борщ|борще; пельмени|пельменях; суши|суши; салат|салате
            кулинария|кулинарии; диеты|диетах; сердце|сердце; мозг|мозге; память|памяти; сон|сне; сновидения|сновидениях; грипп|гриппе
            аллергия|аллергии; стресс|стрессе; тревога|тревоге; врачи|врачах; больницы|больницах; медицина|медицине; йога|йоге; бег|беге
            плавание|плавании; футбол|футболе; баскетбол|баскетболе; теннис|теннисе; шахматы|шахматах; бокс|боксе; хоккей|хоккее
            Олимпийские игры|Олимпийских играх; музыка|музыке; джаз|джазе; опера|опере; пианино|пианино; гитара|гитаре; скрипка|скрипке
            Моцарт|Моцарте; Чайковский|Чайковском; балет|балете; театр|театре; кино|кино; мультфильмы|мультфильмах; танцы|танцах
            компьютерные игры|компьютерных играх; фотография|фотографии; живопись|живописи; архитектура|архитектуре; музеи|музеях
            мода|моде; книги|книгах; стихи|стихах; романы|романах; Пушкин|Пушкине; Толстой|Толстом; Достоевский|Достоевском; Чехов|Чехове
            сказки|сказках; драконы|драконах; вампиры|вампирах; магия|магии; история|истории; Древний Рим|Древнем Риме
            Древний Египет|Древнем Египте; рыцари|рыцарях; пираты|пиратах; Вторая мировая война|Второй мировой войне
            революция|революции; Наполеон|Наполеоне; Пётр Первый|Петре Первом; Эйнштейн|Эйнштейне; Ньютон|Ньютоне; Колумб|Колумбе
            Гагарин|Гагарине; пирамиды|пирамидах; политика|политике; выборы|выборах; демократия|демократии; законы|законах; налоги|налогах
            деньги|деньгах; банки|банках; инфляция|инфляции; биржа|бирже; биткоин|биткоине; бизнес|бизнесе; реклама|рекламе
            карьера|карьере; собеседования|собеседованиях; экономика|экономике; школа|школе; университет|университете; экзамены|экзаменах
            учителя|учителях; математика|математике; алгебра|алгебре; геометрия|геометрии; статистика|статистике; простые числа|простых числах
            грамматика|грамматике; латынь|латыни; философия|философии; логика|логике; религия|религии; психология|психологии
            сознание|сознании; космос|космосе; вселенная|вселенной; чёрные дыры|чёрных дырах; Луна|Луне; Марс|Марсе; Юпитер|Юпитере
            кометы|кометах; звёзды|звёздах; галактики|галактиках; ракеты|ракетах; спутники|спутниках; инопланетяне|инопланетянах
            компьютеры|компьютерах; интернет|интернете; программирование|программировании; алгоритмы|алгоритмах; роботы|роботах
            искусственный интеллект|искусственном интеллекте; нейросети|нейросетях; шифрование|шифровании; пароли|паролях; телефоны|телефонах
            соцсети|соцсетях; машины|машинах; поезда|поездах; самолёты|самолётах; велосипеды|велосипедах; корабли|кораблях
            подводные лодки|подводных лодках; двигатели|двигателях; мосты|мостах; небоскрёбы|небоскрёбах; часы|часах; батарейки|батарейках
            лазеры|лазерах; любовь|любви; дружба|дружбе; брак|браке; дети|детях; воспитание|воспитании; счастье|счастье
            одиночество|одиночестве; старость|старости; путешествия|путешествиях; Париж|Париже; Лондон|Лондоне; Байкал|Байкале
            Африка|Африке; Антарктида|Антарктиде; острова|островах; Новый год|Новом годе; свадьба|свадьбе; огород|огороде
            рыбалка|рыбалке; вязание|вязании; привычки|привычках; мотивация|мотивации; медитация|медитации; пшеница|пшенице; золото|золоте
            алмазы|алмазах; нефть|нефти; стекло|стекле; бумага|бумаге; мыло|мыле; духи|духах; обувь|обуви; монеты|монетах; карты|картах
            теория относительности|теории относительности; фотосинтез|фотосинтезе; круговорот воды|круговороте воды; инерция|инерции
            """
        )
    ],
}

DOINGS = {
    "en": _rows(
        """
        bake bread; cook rice; make soup; boil an egg; bake a cake; make coffee; grill a steak; fix a bike; repair a tap; change a tyre
        paint a wall; build a house; plant a tree; grow tomatoes; train a dog; feed a cat; learn the guitar; play the piano; sing well
        draw a face; paint a portrait; dance the waltz; write a book; write a poem; read faster; learn French; learn German; speak in public
        pass an exam; study better; find a job; write a resume; ask for a raise; start a business; make money; save money; invest in stocks
        pay taxes; buy a house; rent a flat; sell a car; lose weight; gain muscle; run a marathon; sleep better; wake up early; stop smoking
        reduce stress; stay calm; make friends; find a girlfriend; get married; raise a child; calm a baby; talk to my boss; say sorry
        improve my memory; be happy; be more productive; manage my time; get up on time; stay motivated; meditate; do a handstand; ski
        swim faster; play chess; win at poker; solve a cube; take good photos; edit a video; make a website; write code; learn Python
        sort a list; install Linux; fix my computer; speed up my phone; recover a password; protect my data; build a robot; fly a drone
        drive a car; travel cheaply; plan a trip; pack a suitcase; pitch a tent; make a fire; catch a fish; tie a tie; iron a shirt
        remove a stain; clean a window; wash a sweater; cut hair; choose a laptop; choose a gift; plan a wedding; move to another city
        measure a room; convert miles to kilometers; calculate a percentage; solve an equation; find the area of a circle
        """
    ),
    "ru": _rows(
        """
        испечь хлеб; сварить рис; сварить борщ; сварить яйцо; испечь торт; сварить кофе; пожарить рыбу; починить велосипед; починить кран
        поменять колесо; покрасить стену; построить дом; посадить дерево; вырастить помидоры; воспитать щенка; кормить кошку
        играть на гитаре; играть на пианино; красиво петь; нарисовать лицо; танцевать вальс; написать книгу; написать стихи; быстро читать
        выучить французский; выучить немецкий; выступать на сцене; сдать экзамен; лучше учиться; найти работу; написать резюме
        попросить прибавку; открыть бизнес; заработать денег; копить деньги; вложить деньги; платить налоги; купить квартиру; снять квартиру
        продать машину; похудеть; накачать мышцы; пробежать марафон; лучше спать; рано вставать; бросить курить; справиться со стрессом
        не волноваться; найти друзей; познакомиться с девушкой; помириться с другом; воспитать ребёнка; успокоить малыша
        улучшить память; стать счастливым; всё успевать; не лениться; медитировать; кататься на лыжах; быстро плавать; играть в шахматы
        собрать кубик Рубика; хорошо фотографировать; сделать сайт; писать программы; выучить Python; поставить Linux; починить компьютер
        ускорить телефон; восстановить пароль; защитить данные; собрать робота; водить машину; дёшево путешествовать; собрать чемодан
        поставить палатку; развести костёр; поймать рыбу; завязать галстук; погладить рубашку; вывести пятно; помыть окно; постирать свитер
        выбрать ноутбук; выбрать подарок; отметить день рождения; переехать в другой город; перевести мили в километры; посчитать проценты
        решить уравнение; найти площадь круга; измерить комнату; вылечить насморк; пришить пуговицу; заточить нож; завести блог
        """
    ),
}

WHO = {
    "en": _rows(
        """
        wrote War and Peace; wrote Hamlet; wrote Don Quixote; wrote the Odyssey; invented the telephone; invented the light bulb
        invented the computer; invented the wheel; discovered America; discovered penicillin; discovered oxygen; painted the Mona Lisa
        painted The Scream; composed the Moonlight Sonata; built the pyramids; was the first man on the Moon; was the first president
        was Napoleon; was Cleopatra; was Tesla; is Elon Musk; is the richest man; is the best singer; is the best football player
        won the World Cup; won the last Olympics; won the Nobel Prize; sang Yesterday; played Batman; directed Titanic; founded Rome
        founded Google; owns this company; rules England; runs the fastest; climbed Everest first; wrote the Bible; killed Caesar
        """
    ),
    "ru": _rows(
        """
        написал Войну и мир; написал Гамлета; написал Дон Кихота; написал Евгения Онегина; изобрёл телефон; изобрёл лампочку
        изобрёл компьютер; изобрёл колесо; открыл Америку; открыл пенициллин; открыл кислород; нарисовал Мону Лизу; написал Лунную сонату
        построил пирамиды; первым был на Луне; был первым президентом; такой Наполеон; такая Клеопатра; такой Тесла; такой Илон Маск
        самый богатый человек; лучший певец; лучший футболист; выиграл чемпионат мира; получил Нобелевскую премию; снял Титаник
        основал Рим; основал Москву; правит Англией; бегает быстрее всех; первым поднялся на Эверест; сочинил этот гимн; убил Цезаря
        победил в войне; придумал интернет; живёт на Марсе; играет в этом фильме; поёт эту песню; написал эту музыку
        """
    ),
}

WHY = {
    "en": _rows(
        """
        is the sky blue; is the sea salty; is grass green; do cats purr; do dogs bark; do birds sing; do leaves fall; do we sleep; do we dream
        do people lie; do people fight; is water wet; is ice slippery; is fire hot; does it rain; does the Moon shine; do stars twinkle
        do planes fly; do ships float; do magnets attract; do we age; do we yawn; do we cry; do onions make you cry; do bees make honey
        is sugar bad; is sleep important; is exercise good for you; did Rome fall; did the dinosaurs die; did the war begin
        is gold expensive; are diamonds hard; do prices rise; do people need money; do we pay taxes; do computers get slow; is the web slow
        do children play; do teenagers rebel; do friends matter; is school boring; is maths hard; do I forget names; am I always late
        """
    ),
    "ru": _rows(
        """
        небо голубое; море солёное; трава зелёная; кошки мурлычут; собаки лают; птицы поют; листья падают; мы спим; мы видим сны; люди врут
        люди ссорятся; вода мокрая; лёд скользкий; огонь горячий; идёт дождь; Луна светит; звёзды мерцают; самолёты летают
        корабли не тонут; магнит притягивает; мы стареем; мы зеваем; мы плачем; от лука плачут; пчёлы делают мёд; сахар вреден; нужен сон
        полезен спорт; пал Рим; вымерли динозавры; началась война; золото дорогое; алмаз твёрдый; растут цены; нужны деньги
        мы платим налоги; компьютер тормозит; интернет медленный; дети играют; подростки спорят; важны друзья; в школе скучно
        математика трудная; я забываю имена; я всегда опаздываю; кофе бодрит; нельзя врать; болит голова; гремит гром; дует ветер
        """
    ),
}

PIECES = {
    "en": _rows(
        """
        a poem; a story; a short story; an essay; a letter; an email; a speech; a song; a review; a report; a summary; a blog post; a recipe
        a list of facts; a dialogue; a paragraph; a headline; a slogan; a plan; a haiku; three sentences; an article; a program; a scene
        """
    ),
    "ru": _rows(
        """
        стихотворение; рассказ; сказку; сочинение; письмо; речь; песню; отзыв; доклад; статью; пост; рецепт; список фактов; диалог; абзац
        заголовок; план; хокку; три предложения; эссе; реферат; программу; сценарий; объявление
        """
    ),
}

# Function words for `border`'s sentences of random words.
GLUE = {
    "en": _rows("the; a; is; was; to; of; in; and; he; she; they; we; it; very; not; with; for; on; at; my; his; were; has; had; will"),
    "ru": _rows("и; в; не; на; он; она; они; мы; это; очень; с; для; по; был; была; его; мой; у; за; от; как; но; что"),
}  # fmt: skip
