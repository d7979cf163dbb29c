"""The demo's books: short texts written for this project and given to the public domain
(CC0)."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DemoBook:
    """One book; `formats` beside EPUB are made from the same text. `same_as` names a
    book whose file it repeats."""

    title: str
    authors: tuple[str, ...]
    text: str
    language: str = "eng"
    tags: tuple[str, ...] = ()
    series: str = ""
    index: float = 1.0
    rating: int = 0
    comments: str = ""
    identifiers: str = ""
    publisher: str = ""
    formats: tuple[str, ...] = ("epub",)
    cover: bool = True
    same_as: str = ""
    shelf: str = ""
    extra: dict[str, str] = field(default_factory=dict)


_HARBOUR = "The Harbour Cycle"

BOOKS: tuple[DemoBook, ...] = (
    DemoBook(
        "The Lamp at Gull Point",
        ("Marta Lindqvist",),
        "The lamp at Gull Point had burned for ninety years when the company sent a "
        "letter to say that it was no longer "
        "needed. Ships had other eyes now. Ines read the letter twice, folded it, "
        "and went up the hundred and twelve "
        "steps to trim the wick as she did every evening.\n\nOn the third night a "
        "small boat came in without instruments, "
        "an old man and a dog in it. 'I looked for the light,' he said, 'and there "
        "it was.' Ines put the kettle on. In the "
        "morning she wrote to the company that the lamp was in use.",
        tags=("Fiction", "Sea"),
        series=_HARBOUR,
        index=1,
        rating=8,
        formats=("epub", "txt", "fb2", "pdf"),
        comments="<p>The first of the harbour stories.</p>",
        identifiers="isbn:9780000000019",
        publisher="Little Pier",
        shelf="read",
    ),
    DemoBook(
        "Between Two Tides",
        ("Marta Lindqvist",),
        "There is an hour between two tides when the harbour belongs to nobody. The "
        "boats lie on their sides like sleeping "
        "cows, and children walk out to the wreck to count the ribs. Nobody ever "
        "gets the same number.\n\nThis is the story "
        "of the hour in which Tomas counted thirty-one, and found that one of them was a door.",
        tags=("Short stories", "Sea"),
        series=_HARBOUR,
        index=1.5,
        rating=7,
        formats=("epub", "txt"),
        comments="<p>An interlude.</p>",
    ),
    DemoBook(
        "The Ferryman's Ledger",
        ("Marta Lindqvist", "Jonas Reed"),
        "Every passenger had a line in the ferryman's ledger: the date, the weather, "
        "what they carried and what they said. "
        "Most said nothing. When he died, his daughter read all forty volumes aloud "
        "in the church, and it took the whole "
        "winter.\n\nBy spring everybody in the town knew what everybody had carried "
        "across, and they were kinder for it.",
        tags=("Fiction", "Historical Fiction"),
        series=_HARBOUR,
        index=2,
        rating=9,
        formats=("epub", "fb2"),
    ),
    DemoBook(
        "A Short History of Umbrellas",
        ("Jonas Reed",),
        "The first umbrellas kept off the sun and were carried by somebody else. It "
        "took two thousand years before "
        "anybody thought of rain, and fifty more before a gentleman could carry one "
        "without being laughed at.\n\nThis essay "
        "follows the umbrella through courts, streets and lost property offices, and "
        "ends in the one place where nobody "
        "ever forgets one: the theatre, during a storm.",
        tags=("History", "Essays", "Weather"),
        rating=6,
        formats=("epub", "txt"),
        publisher="Paper Boat Press",
    ),
    DemoBook(
        "Signals from the Ninth Moon",
        ("Ada Okonjo",),
        "The signal came every nine hours and said the same four numbers. For a "
        "century people believed it was a machine. "
        "Then, on a Tuesday, it said five.\n\nLin was the only one awake at the "
        "station. She did what one does when somebody "
        "adds a word to a conversation: she answered.",
        tags=("Sci-Fi", "Space"),
        rating=10,
        formats=("epub", "txt", "docx"),
        series="Moons",
        index=9,
    ),
    DemoBook(
        "The Garden Clock",
        ("Ada Okonjo",),
        "Plant a clock of flowers: goat's-beard opens at three, bindweed at five, "
        "the dandelion at six. By noon the whole "
        "border has told you where the day has gone. At night you must trust the "
        "moths.\n\nThis little book says what to sow, "
        "when to sow it, and what to do when your clock is late.",
        tags=("Nature", "Hobby", "Gardens"),
        formats=("epub", "pdf"),
    ),
    DemoBook(
        "Kettle, Drum, Kettle",
        ("Priya Nair",),
        "Kettle on the stove begins,\nquietly, on violins;\ndrum upon the window "
        "pane,\nthat will be the April rain.\n\n"
        "Kettle sings and drum replies,\nsomewhere in the steam there lies\nevery "
        "cup I did not drink,\nevery thought I did "
        "not think.",
        tags=("Poetry",),
        rating=7,
        formats=("epub", "txt"),
    ),
    DemoBook(
        "Recipes for One Pan",
        ("Priya Nair",),
        "Take one pan and be patient with it. Onions first, always, and slower than "
        "you think. Salt them early. When the "
        "kitchen smells like a place where somebody lives, you may add whatever the "
        "day has given you.\n\nTwelve suppers "
        "follow, none of which needs a second pan, and one which needs no pan at all.",
        tags=("Cooking", "Food.Vegetarian"),
        formats=("epub",),
        comments="<p>With <b>twelve</b> suppers.</p>",
    ),
    DemoBook(
        "How Bridges Hum",
        ("Erik Solheim",),
        "Walk onto a long bridge at night and put your hand on the rail. It hums. "
        "The note depends on the wind, the length "
        "of the cables and the traffic, and an engineer with good ears can hear a "
        "loose bolt from the bank.\n\nWe begin with "
        "a string, go on to a beam, and end with the great bridges and the people "
        "who listen to them.",
        tags=("Engineering", "Non-Fiction", "Music"),
        rating=8,
        formats=("epub", "pdf"),
    ),
    DemoBook(
        "Tales for a Slow Train",
        ("Erik Solheim", "Priya Nair", "Ada Okonjo", "Jonas Reed"),
        "Four people met in the last compartment, and since the train was slow and "
        "the window was dark, each told a tale. "
        "The first was true, the second was sad, the third was about the other "
        "three. The fourth is told by the guard, "
        "who had been listening, and who knew how it ended.",
        tags=("Short Fiction", "Travel"),
        formats=("epub",),
    ),
    DemoBook(
        "The Mapmaker's Holiday",
        ("Olu Adeyemi",),
        "The mapmaker went on holiday to a place of which there was no map. He "
        "lasted two days. On the third he borrowed "
        "a pencil.",
        tags=("Humor", "Travel"),
        rating=9,
        formats=("epub", "mobi"),
    ),
    DemoBook(
        "Night Shift at the Museum of Small Things",
        ("Olu Adeyemi",),
        "Buttons, thimbles, the last match of a box, a tooth. The museum of small "
        "things closes at six, and at seven the "
        "night watchman takes off his shoes, so as not to wake them.\n\nNothing was "
        "ever stolen from it. Things were, now and "
        "then, added.",
        tags=("Fantasy", "Urban fantasy"),
        formats=("epub", "azw3"),
    ),
    DemoBook(
        "Příběh o hodináři",
        ("Božena Králová",),
        "Hodinář ze Staré ulice opravoval hodiny, které šly pozpátku. Nikdy je "
        "neopravil docela: vždycky nechal jednu vteřinu, "
        "která se směla vracet. Lidé si pro ni chodili, když něco řekli a mrzelo je "
        "to.\n\nJednoho dne přišla holčička a chtěla "
        "vteřinu půjčit celé třídě.",
        language="ces",
        tags=("Fiction", "Pohádky"),
        rating=8,
        formats=("epub", "txt"),
        series="Stará ulice",
        index=1,
    ),
    DemoBook(
        "Kočka na půdě",
        ("Božena Králová",),
        "Na půdě bydlela kočka, která uměla číst noviny. Četla jen zprávy o počasí, "
        "protože všechno ostatní se dá poznat "
        "podle kroků na schodech.",
        language="ces",
        tags=("Children",),
        series="Stará ulice",
        index=2,
    ),
    DemoBook(
        "Das Licht im dritten Stock",
        ("Hannelore Brück",),
        "Im dritten Stock brannte immer Licht. Wer spät nach Hause kam, sah hinauf "
        "und wusste: noch jemand wach. Niemand "
        "kannte den Mieter. Als das Licht eines Abends ausblieb, standen elf "
        "Nachbarn mit Kerzen vor der Tür.",
        language="deu",
        tags=("Fiction", "Nachbarn"),
        rating=7,
        formats=("epub", "fb2"),
    ),
    DemoBook(
        "Kleine Kunde vom Nebel",
        ("Hannelore Brück",),
        "Nebel ist eine Wolke, die sich hingesetzt hat. Dieses Büchlein erklärt, "
        "warum sie das tut, wann sie wieder aufsteht, "
        "und weshalb man im Nebel die eigenen Schritte für fremde hält.",
        language="deu",
        tags=("Science", "Nature"),
    ),
    DemoBook(
        "Письма из Зимнего сада",
        ("Вера Соколова",),
        "В зимнем саду росло лимонное дерево, старше дома. Бабушка писала ему "
        "письма, а дерево отвечало лимонами. Когда "
        "бабушка уехала, письма стала писать я, и к весне дерево ответило.",
        language="rus",
        tags=("Fiction",),
        rating=9,
        formats=("epub", "txt", "fb2"),
    ),
    DemoBook(
        "Кот и дом",
        ("Вера Соколова",),
        "Кот пришёл в дом и сказал: теперь это мой дом. Дом подумал и сказал: теперь "
        "это мой кот. На том и договорились.",
        language="rus",
        tags=("Children's Books", "Cats"),
        cover=False,
        formats=("txt",),
    ),
    DemoBook(
        "Лес и дождь",
        ("Вера Соколова", "Иван Пруд"),
        "Лес попросил дождь прийти тихо. Дождь разулся на опушке и шёл всю ночь на цыпочках.",
        language="rus",
        tags=("Poetry",),
    ),
    DemoBook(
        "雨夜的书店",
        ("林小雨",),
        "城南有一家只在下雨的夜里开门的书店。店主说,书怕干,人怕孤单,雨天两样都不怕。我在那里读完了一本没有结尾的书,第二天放晴,门锁着,结尾在我口袋里。",
        language="zho",
        tags=("Fiction", "Books"),
        rating=8,
        formats=("epub", "txt"),
    ),
    DemoBook(
        "茶与山",
        ("林小雨",),
        "山上的人喝茶,山下的人也喝茶。山上的人说,水好。山下的人说,渴了。",
        language="zho",
        tags=("Essay",),
    ),
    DemoBook(
        "猫の郵便局",
        ("青木 はな",),
        "港の町に、猫がひとりでやっている郵便局がありました。切手はにぼし一本。手紙はかならず、すこしだけ温かくなって届きました。",
        language="jpn",
        tags=("Fairy tales", "Cats"),
        rating=10,
        formats=("epub", "txt"),
    ),
    DemoBook(
        "Η βάρκα του παππού",
        ("Ελένη Μαύρου",),
        "Η βάρκα του παππού ήξερε τον δρόμο μόνη της. Εκείνος έλεγε πως οδηγούσε, κι "
        "εκείνη τον άφηνε να το λέει.",
        language="ell",
        tags=("Fiction", "Sea"),
    ),
    DemoBook(
        "Le jardin d'à côté",
        ("Noémie Châtelain",),
        "Le jardin d'à côté était toujours plus vert, parce que la voisine arrosait "
        "le nôtre la nuit, en secret, et que nous "
        "arrosions le sien.",
        language="fra",
        tags=("Humor/Satire",),
        rating=6,
    ),
    DemoBook(
        "La biblioteca sumergida",
        ("Inés Valdemar",),
        "Cuando hicieron el embalse, nadie se acordó de la biblioteca. Los peces, "
        "desde entonces, nadan por orden alfabético.",
        language="spa",
        tags=("Fantasy.Magical", "Books"),
        formats=("epub", "txt"),
    ),
    DemoBook(
        "Noted by Nobody",
        (),
        "These pages were found in the pocket of a coat that was left on a bench. "
        "Whoever wrote them watched the same pond "
        "for a year and noted, every day, one thing that had not been there the day before.",
        tags=("Nature", "Diary"),
        cover=False,
        formats=("txt", "fb2"),
    ),
    DemoBook(
        "The Bell Under the Ice",
        ("van der Meer, Saskia",),
        "When the lake froze, the children lay on their bellies and listened for the "
        "bell of the drowned church. It rang "
        "each Sunday at ten. In the year the ice was thickest, it rang on a Thursday.",
        tags=("Mystery", "Winter"),
        rating=8,
        formats=("epub", "pdf"),
    ),
    DemoBook(
        "The Bell Under the Ice (school edition)",
        ("van der Meer, Saskia",),
        "",
        tags=("Educational",),
        same_as="The Bell Under the Ice",
    ),
    DemoBook(
        "Robots Do Not Knock",
        ("J. Q. Public, Jr.",),
        "The first thing we taught them was to open doors. The second should have "
        "been to knock. This is a comedy in three "
        "acts about the house where somebody thought of it too late.",
        tags=("Plays", "SF", "Comedy"),
        rating=7,
        formats=("epub", "txt"),
        series="Household Machines",
        index=0,
    ),
    DemoBook(
        "Robots Do Not Dance",
        ("J. Q. Public, Jr.",),
        "They count. But at the wedding of the cook and the electrician one of them "
        "counted so well that people cried.",
        tags=("Science Fiction",),
        series="Household Machines",
        index=3.14,
    ),
    DemoBook(
        "Twelve Pictures of a Staircase",
        ("Lucía Ferrán",),
        "",
        tags=("Comics", "Architecture"),
        formats=("cbz",),
        rating=5,
    ),
    DemoBook(
        "What the Stonemason Said / Notes on 100 % Granite",
        ("Tom O'Dell",),
        "Measure twice, he said, and then ask the stone. It is slower to answer than "
        "you, and it is not going to change "
        "its mind.\n\n<script>alert('a book may say anything')</script>",
        tags=("Biography", "Crafts"),
        comments='<p onclick="alert(1)">Notes &amp; sayings.</p><script>alert(2)</script>',
    ),
    DemoBook(
        "The Very Long and Entirely True Account of How the Village of Lower Wick "
        "Came by Its Second Weathercock, Set Down by "
        "the Schoolmaster from the Words of Those Who Were There, of Those Who Were "
        "Not, and of the Weathercock Itself",
        ("Tom O'Dell",),
        "The first weathercock pointed east for eleven years and was believed. The "
        "second turned, and was the cause of the "
        "only riot in the history of the village.",
        tags=("Humour", "Local history"),
    ),
    DemoBook(
        "On Leaving a Gap",
        ("Jonas Reed", "Hannelore Brück"),
        "A bookshelf that is full is finished. Leave a gap, the width of a hand. It "
        "is for the book you have lent to "
        "somebody, and it is how you will remember that you know somebody.",
        tags=("Philosophy", "Essay"),
        rating=10,
        formats=("epub", "docx"),
        identifiers="doi:10.0000/gap",
    ),
    DemoBook(
        "A Field Guide to Street Lamps",
        ("Erik Solheim",),
        "Sodium, mercury, gas and the new white ones that have no colour at all. A "
        "pocket guide for walking home, with keys "
        "to twenty species and a note on moths.",
        tags=("Reference", "Technology"),
        formats=("epub", "rtf"),
    ),
    DemoBook(
        "Eight Weeks to a Quieter Mind",
        ("Priya Nair", "Erik Solheim"),
        "In the first week, do one thing less. In the second week, notice which. The "
        "other six weeks are practice.",
        tags=("Self-help", "Health"),
        rating=6,
    ),
)
