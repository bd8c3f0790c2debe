"""Text written for this data: what the tiny tokenizer's merges are trained on, and sentences to encode."""

# English on purpose: the merges then make whole words of the small talk in the end-to-end requests.
ENGLISH = """
The harbour wakes before the town does. At five in the morning the first boats come home, and the men on the
quay throw the ropes over the old iron posts. There is a smell of salt, of diesel and of fresh bread, because
the baker on the corner opens the door when the lights of the boats come around the point. What have you got
today? Not much, says the oldest of them. The water is too warm, and the fish have gone further out.

A good answer is short. If someone asks what the weather will be tomorrow, do not tell the story of every cloud
over the sea. Say that it will rain in the afternoon, that the wind will come from the west, and that an umbrella
would be a good thing to take along. When the question is not clear, ask one question back. When you do not
know, say that you do not know. That is better than a long answer that is wrong.

How do you make a simple soup? Take three carrots, two onions, one potato and a little butter. Cut everything
into small pieces and let them sit in the butter until the kitchen smells of it. Then add water, salt and
pepper, and wait for twenty minutes. Some people like to add cream at the end. Other people think that this is a
mistake. Both of them are right, since it is their soup.

The picture shows a small house with a red roof. In front of the house there is a garden, and in the garden a
white dog sleeps under a tree. On the left side of the picture you can see a road that goes down to the river.
The sky is blue, with two clouds in it. In the second picture the same house stands in the snow, the tree has
no leaves, and the dog is gone. The light is different too: it must have been taken late in the day.

In the first sound you hear a bell, then the voice of a child who counts from one to ten. After that there is
a train that comes closer, stops, and leaves again. The second sound is only noise, like rain on a window. It
is hard to say how long it lasts, but it becomes louder near the end. Listen to it again before you answer.

Every machine that people have ever built has stopped at some point. The question is not whether it will stop
but what happens then. A careful worker keeps the parts in order, writes down what was done, and looks at the
place where it hurts before reaching for the hammer. Measure first. If the number is not what you expected, the
number is probably right and the idea about it is wrong. Change one thing, and then measure again.

She had read the letter four times before she put it back on the table. It was from her brother, who had been
working in the north for almost a year, and it said nothing about when he would return. He wrote about the cold,
about the long nights, about a friend who could play the violin, and about the money that he would send next
month. At the end there was one line that she did not understand: tell mother that the river was open again.

Between the mountains and the sea there are only forty kilometres, and yet the people on one side speak another
language than the people on the other. Once a week there is a market in the middle, where they trade cheese for
fish and wool for wine. Nobody writes anything down. Everyone remembers what was promised, and whoever forgets
does not need to come back the following week.

Here is a list of things that a system should do when it is asked to help. It should read the whole question. It
should think about what the user really wants. It should use the pictures and the sounds that came with the
question, and not guess what could be in them. It should answer in the language of the question. And when the
model has nothing more to say, it should stop.

The train to the coast leaves at seven, and the next one leaves at nine. If you want to see the island, you
should take the first one, because the ferry does not wait. Bring something to eat and something warm to wear.
The path around the island takes about three hours when you walk slowly and look at the birds, and you should,
since there is no other reason to be there. From the highest point you can see both lighthouses at the same
time. One of them has not been used for thirty years, but the other one still turns every night.

Yesterday we counted the books in the old library. There were more than nine thousand of them, and almost half
had never been opened. Some were about plants, some about the stars, and one whole room was full of maps. The
maps were beautiful and mostly wrong: rivers ran over hills, towns stood in the sea, and in the middle of the
great desert somebody had drawn a small green garden with a fountain. We could not say who had done it or why.

Please write the numbers as words, and the words in order. Please be brief, please be kind, and please do not
repeat yourself. Thank you for your help; that was just what was needed. Could you say that again, but shorter?
Which of the two do you like better, and what makes it better? Where did it come from, and who made it? I am
sorry, I cannot hear anything in this recording. Yes, of course. No, never. Maybe, but only if it is Sunday.
user model system thought assistant developer answer question image audio picture sound terse French
"""

# Sentences in several languages and scripts; most of the letters have no piece and fall back to bytes.
SENTENCES = {
    "en": "The ferry leaves at 6:45, so we'll have breakfast on board.",
    "de": "Die Straßenbahnhaltestelle liegt gleich neben dem Rathaus.",
    "fr": "« Qu'est-ce que c'est ? » demanda-t-elle, étonnée.",
    "es": "¿Dónde está la estación? ¡El tren sale en cinco minutos!",
    "pl": "Pociąg do Łodzi odjeżdża z peronu trzeciego o 17:08.",
    "tr": "İstanbul'da yağmur yağıyor, şemsiyeni unutma.",
    "vi": "Hôm nay trời đẹp, chúng ta đi dạo nhé.",
    "ru": "Поезд прибывает на второй путь в 14:35.",
    "el": "Το πλοίο φεύγει στις οκτώ το πρωί από τον Πειραιά.",
    "he": "הרכבת יוצאת בעוד חמש דקות.",
    "ar": "يصل القطار إلى المحطة في الساعة الثامنة.",
    "hi": "कल सुबह हम नदी के किनारे टहलने जाएँगे।",
    "th": "พรุ่งนี้เราจะไปตลาดน้ำด้วยกัน",
    "zh": "明天下午三点在车站门口见面，好吗？",
    "ja": "今日は天気がいいので、公園まで歩きましょう。",
    "ko": "내일 아침에 역 앞에서 만나요.",
    "emoji": "Well done 👍🏽, the 👩‍🚀 is back 🚀🎉!",
}

# Source text, markup and numbers.
CODE = [
    "def f(x: int) -> list[int]:\n    \"\"\"Doc.\"\"\"\n    return [i ** 2 for i in range(x) if i % 3 == 0]\n",
    "#include <vector>\nfor (auto& x : v) {\n\tx <<= 1; // shift\n}\n",
    "SELECT a.id, COUNT(*) AS n FROM orders AS a WHERE a.ts >= '2026-01-01' GROUP BY 1;\n",
    "{\"name\": \"Ünïcode\", \"list\": [1, 2.5, -3e-7, null, true]}",
    "<div class=\"row\"><h1>Title</h1> <p>a &amp; b</p> </div>\n<!-- > </p> -->",
    "all: main.o\n\t$(CXX) -O2 -o $@ $^\n\n.PHONY: clean\nclean:\n\trm -f *.o\n",
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nprint(\"hi\")\n```\n",
    "https://example.org/a/b?q=%E4%BD%A0&x=1#frag", "C:\\Users\\名前\\Desktop\\file (1).txt",
    "12345678901234567890 3.14159265358979 1,234,567.89 0xDEADBEEF 1e-10 ½ ² ①", "00:00 00:01 00:59 01:30",
    "\ufeff#include <x>\n", "a> </b", "a>  </b", "> </", ">▁</", "> </ > </", ">\n</", ">\t </",
    "<h1>one</h1> <unused1> <unused9> [multimodal] <0x41> <s> </s>", "A\r\nB\rC\n\rD",
    "x\u00a0y\u2003z\u3000w\u200b\u200dv", "a\x00b\x01\x1b[31mred\x1b[0m\x7f",
]
