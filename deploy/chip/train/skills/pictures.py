"""Seeing: a number, a word, one large shape, a count of small shapes.

Pictures are drawn on the model's own grid of tiles: at the budget of 70 tiles a picture of one of SIZES is not resized
at all, one that is drawn larger is scaled down to it. A glyph or a small shape has a tile to itself, a large shape has
2x2 to 5x5. Grounds behind large shapes are grey: the first LayerNorm makes a flat pale tint as strong as a full colour,
and for the same reason brown (dark orange, to it) is not drawn on dark grounds.
"""
import functools
import io
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from skills.case import Case, Picture, belongs, user

TILE = 48
SIZES = [(8, 8), (9, 7), (7, 9), (10, 6), (6, 10)]  # columns, rows
FOLDER = "/usr/share/fonts/truetype/"
FONTS = ("dejavu/DejaVuSans dejavu/DejaVuSans-Bold dejavu/DejaVuSans-Oblique dejavu/DejaVuSerif "
         "dejavu/DejaVuSerif-Bold dejavu/DejaVuSansMono dejavu/DejaVuSansMono-Bold liberation/LiberationSans-Regular "
         "liberation/LiberationSans-Bold liberation/LiberationSans-Italic liberation/LiberationSansNarrow-Bold "
         "liberation/LiberationSerif-Regular liberation/LiberationSerif-BoldItalic liberation/LiberationMono-Regular "
         "liberation/LiberationMono-Bold freefont/FreeSans freefont/FreeSansBold freefont/FreeSerif "
         "freefont/FreeSerifBold freefont/FreeMonoBold").split()
UNSEEN_FONTS = "freefont/FreeSansBoldOblique liberation/LiberationSerif-Bold dejavu/DejaVuSansCondensed".split()

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
LIGHT = [WHITE] * 7 + [(230, 230, 230)] * 2 + [(255, 243, 205), (222, 238, 255), (226, 247, 226), (255, 226, 232),
                                              (238, 228, 252)]
DARK = [BLACK, BLACK, (45, 45, 45), (20, 30, 75), (10, 60, 40), (85, 15, 30)]
LIGHT_GREY, DARK_GREY = [WHITE, WHITE, WHITE, (230, 230, 230)], [BLACK, (45, 45, 45)]
INK_ON_LIGHT = [BLACK, BLACK, (20, 40, 130), (195, 20, 30), (0, 105, 40), (115, 30, 135), (110, 60, 20), (0, 95, 115)]
INK_ON_DARK = [WHITE, WHITE, (255, 225, 60), (150, 230, 255), (170, 255, 170), (255, 190, 120)]
SIGNS = [((20, 80, 180), WHITE), ((0, 120, 60), WHITE), ((195, 20, 30), WHITE), ((255, 210, 0), BLACK), (WHITE, BLACK),
         (WHITE, (195, 20, 30)), (BLACK, WHITE), ((255, 150, 30), BLACK)]  # field; border and glyphs
COLOURS = {"red": (215, 25, 30), "green": (30, 150, 50), "blue": (25, 75, 215), "yellow": (245, 215, 25),
           "orange": (245, 135, 15), "purple": (135, 40, 175), "pink": (255, 130, 185), "brown": (120, 65, 35)}
SHAPES = {"circle": "circles", "square": "squares", "triangle": "triangles", "star": "stars", "cross": "crosses",
          "ring": "rings", "heart": "hearts"}

WORDS = """
open stop exit sale taxi cafe bus bank park shop hotel police push pull school food pizza coffee tea milk bread fish
meat fruit apple lemon orange cherry banana tomato potato onion carrot rice soup salad sugar salt pepper honey butter
cheese cake pie water juice wine beer bar pub inn gym spa zoo art book news radio music piano guitar drum dance film
cinema ticket show game toy ball kite chess card gift party closed danger warning slow fast yield left right north
south east west up down in out on off yes no go hot cold warm cool wet dry new old big small long short high low wide
deep free full empty fresh clean quiet loud happy good best better nice fine fire smoke ice snow rain wind sun moon
star sky cloud storm sea lake river beach island hill rock sand wood tree leaf rose flower garden farm field forest
barn house home door window roof wall floor room kitchen bed table chair lamp desk sofa clock mirror key lock box bag
cup plate fork knife spoon pan pot bowl bottle glass paper pen pencil ink brush paint color red green blue black white
yellow brown pink purple gold silver iron steel stone glue rope chain wheel road street lane bridge tunnel gate tower
castle church museum library station airport train tram plane ship boat car truck bike van fuel gas oil pump pipe tool
hammer nail saw drill screw cat dog cow pig horse sheep goat duck hen goose fox wolf bear lion tiger monkey rabbit
mouse rat frog snake whale shark crab bee ant fly owl eagle hawk parrot king queen prince knight doctor nurse pilot
driver farmer baker cook judge man woman boy girl baby child friend mother father uncle aunt name age day week month
year hour minute time today monday friday sunday spring summer autumn winter morning night noon one two three four
five six seven eight nine ten zero first last next more less half start end begin finish wait walk run jump swim sleep
eat drink read write sing play work help call mail phone post office market store price cash coin money dollar euro
cheap rent lost found toilet lift stairs lobby
""".upper().split()
INVENTED_SHARE = 0.3  # of training words are letters that are no word, so that letters are read and not guessed
LENGTH_OF_NUMBER = [1, 2, 3, 4, 4]  # weights of 1 to 5 digits

OPEN_QUESTIONS = ["What does the sign say?", "What is written here?"]  # for numbers and words
NUMBER_QUESTIONS = [*OPEN_QUESTIONS, "Which number is on the sign?", "Which number do you see?", "Read the number."]
WORD_QUESTIONS = [*OPEN_QUESTIONS, "Which word is on the sign?", "Which word do you see?", "Read the word."]


class Drawing:
    """A picture in the making. Places are columns and rows of tiles; a tile has `tile` pixels."""

    def __init__(self, rng, ground, least_columns=1):
        self.rng, self.labels = rng, []
        self.columns, self.rows = rng.choice([size for size in SIZES if size[0] >= least_columns])
        self.tile = int(TILE * rng.choices([1, 1.5, 2], [8, 1, 1])[0])
        self.pixels = np.empty((self.rows * self.tile, self.columns * self.tile, 3), np.uint8)
        self.pixels[:] = ground

    def length(self, pixels):
        """From pixels of the model's grid to ours."""
        return round(pixels * self.tile / TILE)

    def paint(self, mask, left, top, colour):
        region = self.pixels[top:top + mask.shape[0], left:left + mask.shape[1]]
        cover = mask[..., None].astype(np.uint16)
        region[:] = (region * (255 - cover) + np.array(colour, np.uint16) * cover + 127) // 255

    def in_tile(self, mask, column, row, colour, label, left, top):
        """Paints into a tile, at a place within it as near to the wished one as the tile allows."""
        left = min(max(left, 0), self.tile - mask.shape[1])
        top = min(max(top, 0), self.tile - mask.shape[0])
        x, y = column * self.tile, row * self.tile
        self.paint(mask, x + left, y + top, colour)
        self.labels.append((x, y, x + self.tile, y + self.tile, label))

    def fill(self, left, top, right, bottom, colour):
        """Edges in tiles, which may be fractions."""
        left, top, right, bottom = (round(edge * self.tile) for edge in (left, top, right, bottom))
        self.pixels[top:bottom, left:right] = colour

    def picture(self):
        """As a file would hold it: every third one has been a JPEG, every tenth has noise."""
        pixels, fate = self.pixels, self.rng.random()
        if fate < 0.1:
            noise = np.random.default_rng(self.rng.getrandbits(64)).integers(-2, 3, pixels.shape, np.int8)
            pixels = np.clip(pixels.astype(np.int16) + noise, 0, 255).astype(np.uint8)
        elif fate < 0.43:
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "JPEG", quality=self.rng.randint(75, 95))
            pixels = np.asarray(Image.open(file).convert("RGB"))
        return Picture(pixels, self.labels)


@functools.lru_cache(4096)
def glyph(font, size, character):
    """(mask, pixels from its top to the baseline) at a font size."""
    canvas = Image.new("L", (size * 3, size * 3))
    ImageDraw.Draw(canvas).text((size, size * 2), character, 255, load_font(font, size), anchor="ls")
    left, top, right, bottom = canvas.getbbox()
    return np.asarray(canvas)[top:bottom, left:right].copy(), size * 2 - top


@functools.cache
def load_font(font, size):
    return ImageFont.truetype(f"{FOLDER}{font}.ttf", size)


@functools.cache
def shape_mask(kind, size):
    fine = size * 3
    canvas = Image.new("L", (fine, fine))
    draw = ImageDraw.Draw(canvas)

    def polygon(points):  # in -1..1
        draw.polygon([((x + 1) * fine / 2, (y + 1) * fine / 2) for x, y in points], 255)

    if kind in ("circle", "ring"):
        draw.ellipse((0, 0, fine - 1, fine - 1), 255)
        if kind == "ring":
            draw.ellipse((fine * 0.24, fine * 0.24, fine * 0.76, fine * 0.76), 0)
    elif kind == "square":
        polygon([(-0.92, -0.92), (0.92, -0.92), (0.92, 0.92), (-0.92, 0.92)])
    elif kind == "triangle":
        polygon([(0, -0.95), (1, 0.85), (-1, 0.85)])
    elif kind == "cross":
        draw.rectangle((fine * 0.34, 0, fine * 0.66, fine), 255)
        draw.rectangle((0, fine * 0.34, fine, fine * 0.66), 255)
    elif kind == "star":
        spokes = [(1.05 if i % 2 == 0 else 0.43, math.pi * i / 5) for i in range(10)]
        polygon([(r * math.sin(a), 0.08 - r * math.cos(a)) for r, a in spokes])
    elif kind == "heart":
        waves = (-13 / 16, 5 / 16, 2 / 16, 1 / 16)
        turns = [math.pi * i / 45 for i in range(90)]
        polygon([(math.sin(t) ** 3, sum(w * math.cos(n * t) for n, w in enumerate(waves, 1))) for t in turns])
    return np.asarray(canvas.resize((size, size), Image.Resampling.BOX))


def shade(rng, colour):
    return [min(255, max(0, level + rng.randint(-10, 10))) for level in COLOURS[colour]]


def written(rng, text, split, sign=None):
    """A picture of a row of glyphs, one to a tile; a third of them (or as told) on a sign."""
    dark = rng.random() < 0.2
    drawing = Drawing(rng, rng.choice(DARK if dark else LIGHT), len(text))
    ink = rng.choice(INK_ON_DARK if dark else INK_ON_LIGHT)
    column, row = rng.randint(0, drawing.columns - len(text)), rng.randrange(drawing.rows)
    if rng.random() < 1 / 3 if sign is None else sign:
        ink = draw_sign(rng, drawing, column, row, len(text))
    font = rng.choice(UNSEEN_FONTS if split == "unseen" else FONTS)
    reference = glyph(font, 100, "H")[0].shape[0]  # height of a capital at size 100
    largest = max(max(glyph(font, 100, character)[0].shape) for character in text)
    height = min(rng.randint(26, 40), 46 * reference / largest)  # of a capital, such that every glyph fits its tile
    size = int(drawing.length(height) * 100 / reference)
    right, down = rng.randint(-4, 4), rng.randint(-4, 4)
    for i, character in enumerate(text):
        mask, rise = glyph(font, size, character)
        left = (drawing.tile - mask.shape[1]) / 2 + drawing.length(right + rng.randint(-2, 2))
        top = (drawing.tile + drawing.length(height)) / 2 - rise + drawing.length(down + rng.randint(-2, 2))
        drawing.in_tile(mask, column + i, row, ink, character, round(left), round(top))
    return drawing.picture()


def draw_sign(rng, drawing, column, row, length):
    """A bordered field behind a row of tiles, with a margin of whole tiles where there is room. Gives the ink."""
    field, ink = rng.choice(SIGNS)
    left, right, top, bottom = column, column + length, row, row + 1
    if rng.random() < 0.5:
        left, right = max(0, left - 1), min(drawing.columns, right + 1)
        top, bottom = max(0, top - 1), min(drawing.rows, bottom + 1)
    drawing.fill(left, top, right, bottom, ink)
    line = rng.choice([0, 1 / 24, 1 / 16])
    drawing.fill(left + line, top + line, right - line, bottom - line, field)
    return ink


def large_shape(rng, colour, kind):
    dark = colour != "brown" and rng.random() < 0.2
    drawing = Drawing(rng, rng.choice(DARK_GREY if dark else LIGHT_GREY))
    tiles = rng.randint(2, 5)
    size = drawing.length(tiles * TILE - rng.choice([0, 4, 8, 12]))
    mask = shape_mask(kind, size)
    column, row = rng.randint(0, drawing.columns - tiles), rng.randint(0, drawing.rows - tiles)
    left, top = (place * drawing.tile + (tiles * drawing.tile - size) // 2 + drawing.length(rng.randint(-6, 6))
                 for place in (column, row))
    left = min(max(left, 0), drawing.pixels.shape[1] - size)
    top = min(max(top, 0), drawing.pixels.shape[0] - size)
    drawing.paint(mask, left, top, shade(rng, colour))
    label_tiles(drawing, mask, left, top, colour, kind)
    return drawing.picture()


def label_tiles(drawing, mask, left, top, colour, kind):
    """A tile full of colour tells the colour, one with an edge in it tells the colour or the kind, by turns."""
    tile = drawing.tile
    cover = np.zeros(drawing.pixels.shape[:2], np.float32)
    cover[top:top + mask.shape[0], left:left + mask.shape[1]] = mask / np.float32(255)
    cover = cover.reshape(drawing.rows, tile, drawing.columns, tile).mean((1, 3))
    for row, column in np.argwhere(cover > 0.04).tolist():
        label = colour if cover[row, column] > 0.98 or (row + column) % 2 == 0 else kind
        drawing.labels.append((column * tile, row * tile, column * tile + tile, row * tile + tile, label))


def small_shapes(rng, shapes):
    """A picture of [(colour, kind)], each in a tile of its own anywhere."""
    dark = all(colour != "brown" for colour, _ in shapes) and rng.random() < 0.2
    drawing = Drawing(rng, rng.choice(DARK_GREY if dark else LIGHT))
    places = rng.sample(range(drawing.columns * drawing.rows), len(shapes))
    size = rng.randrange(28, 41, 2)
    for place, (colour, kind) in zip(places, shapes):
        mask = shape_mask(kind, drawing.length(size + rng.choice([-2, 0, 2]) if size < 40 else size))
        left, top = ((drawing.tile - len(mask)) // 2 + drawing.length(rng.randint(-6, 6)) for _ in range(2))
        label = rng.choice((colour, kind))  # either may be asked for
        drawing.in_tile(mask, place % drawing.columns, place // drawing.columns, shade(rng, colour), label, left, top)
    return drawing.picture()


def asked(rng, skill, question, picture, answer, more=()):
    """`more`: other questions about the picture, with their answers."""
    if rng.random() < 0.75:
        return Case(skill, [user(picture, question)], answer, media=[picture],
                    siblings=[([user(picture, question)], answer) for question, answer in more])
    return Case(skill, [user(question, picture)], answer, media=[picture])


def number(rng, length):
    """As text, without a leading zero."""
    return str(rng.randint(10 ** (length - 1) if length > 1 else 0, 10 ** length - 1))


def digits_in_a_picture(rng, split):
    while True:
        text = number(rng, rng.choices(range(1, 6), LENGTH_OF_NUMBER)[0])
        if len(text) == 1 and split == "train" or len(text) > 1 and belongs(split, "number", text):
            return asked(rng, "digits in a picture", rng.choice(NUMBER_QUESTIONS), written(rng, text, split), text)


def invented_word(rng):
    """Letters that can be pronounced."""
    sounds = ["BCDFGHJKLMNPQRSTVWXYZ", "AEIOU"]
    vowel = rng.randrange(2)
    return "".join(rng.choice(sounds[(i + vowel) % 2]) for i in range(rng.randint(2, 7)))


def word_in_a_picture(rng, split):
    while True:
        invented = split == "train" and rng.random() < INVENTED_SHARE
        text = invented_word(rng) if invented else rng.choice(WORDS)
        if belongs(split, "word", text):
            return asked(rng, "word in a picture", rng.choice(WORD_QUESTIONS), written(rng, text, split), text)


def colour_and_shape(rng, split):
    while True:
        colour, kind = rng.choice(list(COLOURS)), rng.choice(list(SHAPES))
        if belongs(split, "large shape", colour, kind):
            break
    picture = large_shape(rng, colour, kind)
    article = "An" if colour == "orange" else "A"
    questions = [
        ("What is in the picture?", f"{article} {colour} {kind}."), ("What do you see?", f"{article} {colour} {kind}."),
        ("Which colour is the shape?", f"{colour.capitalize()}."), ("What colour is it?", f"{colour.capitalize()}."),
        ("Which shape is it?", f"A {kind}."), ("What shape do you see?", f"A {kind}.")]
    question, answer = rng.choice(questions)
    more = rng.sample(questions, 2) if split == "train" else ()
    return asked(rng, "colour and shape", question, picture, answer, more)


def how_many(rng, name):
    return rng.choice([f"How many {name} are there?", f"How many {name} do you see?", f"Count the {name}."])


def other_counts(rng, shapes, colours, kinds):
    """More questions of training about the same shapes."""
    counts = {"shapes": len(shapes)}
    counts |= {SHAPES[kind]: sum(shape[1] == kind for shape in shapes) for kind in kinds}
    counts |= {f"{colour} shapes": sum(shape[0] == colour for shape in shapes) for colour in colours}
    return [(how_many(rng, name), str(count)) for name, count in counts.items()
            if (count or rng.random() < 0.3) and belongs("train", "count", name, *shapes)]


def counting_shapes(rng, split):
    while True:
        colours, kinds = rng.sample(list(COLOURS), 2), rng.sample(list(SHAPES), 2)
        mixed = rng.randrange(3)  # one kind and colour; two kinds; two kinds and two colours
        count = rng.randint(1, 6)
        shapes = sorted((colours[rng.randrange(2) if mixed == 2 else 0], kinds[rng.randrange(2) if mixed else 0])
                        for _ in range(count))
        about = rng.choice(["shapes", "kind", "colour"])
        if about == "kind":
            kind = kinds[rng.random() < (0.5 if mixed else 0.1)]
            count, name = sum(shape[1] == kind for shape in shapes), SHAPES[kind]
        elif about == "colour":
            colour = colours[rng.random() < (0.5 if mixed == 2 else 0.1)]
            count, name = sum(shape[0] == colour for shape in shapes), f"{colour} shapes"
        else:
            name = "shapes"
        if (count or rng.random() < 0.3) and belongs(split, "count", name, *shapes):
            break
    question = how_many(rng, name)
    more = other_counts(rng, shapes, colours, kinds) if split == "train" else ()
    return asked(rng, "counting shapes", question, small_shapes(rng, shapes), str(count), more)


SKILLS = {
    "digits in a picture": (digits_in_a_picture, 3),
    "word in a picture": (word_in_a_picture, 3),
    "colour and shape": (colour_and_shape, 2.5),
    "counting shapes": (counting_shapes, 5),
}
