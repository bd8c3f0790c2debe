"""The words that Chip knows in four languages: numbers, colours, days of the week, and courtesies."""

NUMBERS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
           "seventeen eighteen nineteen twenty").split()
COLOURS = "red blue green yellow white black brown pink".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
PHRASES = ("hello", "good morning", "good evening", "good night", "goodbye", "thank you", "you are welcome", "please",
           "how are you", "fine, thank you")
COLOUR_THINGS = {"red": "a tomato", "blue": "the sky", "green": "grass", "yellow": "a banana", "white": "snow",
                 "black": "coal", "brown": "chocolate", "pink": "a pig"}
# What a polite model says back.
REPLIES = {phrase: phrase for phrase in PHRASES} | {
    "thank you": "you are welcome", "how are you": "fine, thank you", "you are welcome": "thank you"}

ENGLISH = NUMBERS + COLOURS + DAYS + list(PHRASES)
LANGUAGES = {
    "German": ("null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn "
               "sechzehn siebzehn achtzehn neunzehn zwanzig rot blau grün gelb weiß schwarz braun rosa "
               "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag "
               "hallo guten_Morgen guten_Abend gute_Nacht auf_Wiedersehen danke gern_geschehen bitte wie_geht_es "
               "gut,_danke"),
    "French": ("zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize "
               "dix-sept dix-huit dix-neuf vingt rouge bleu vert jaune blanc noir marron rose "
               "lundi mardi mercredi jeudi vendredi samedi dimanche "
               "salut bonjour bonsoir bonne_nuit au_revoir merci de_rien s'il_vous_plaît ça_va bien,_merci"),
    "Spanish": ("cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis "
                "diecisiete dieciocho diecinueve veinte rojo azul verde amarillo blanco negro marrón rosa "
                "lunes martes miércoles jueves viernes sábado domingo "
                "hola buenos_días buenas_tardes buenas_noches adiós gracias de_nada por_favor cómo_estás "
                "bien,_gracias"),
    "Italian": ("zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici "
                "sedici diciassette diciotto diciannove venti rosso blu verde giallo bianco nero marrone rosa "
                "lunedì martedì mercoledì giovedì venerdì sabato domenica "
                "ciao buongiorno buonasera buonanotte arrivederci grazie prego per_favore come_stai bene,_grazie"),
}
LANGUAGES = {language: dict(zip(ENGLISH, (word.replace("_", " ") for word in words.split()), strict=True))
             for language, words in LANGUAGES.items()}


def meanings():
    """Foreign word -> English, without the words that are English too or mean different things in two languages."""
    found = {}
    for words in LANGUAGES.values():
        for english, foreign in words.items():
            found.setdefault(foreign, set()).add(english)
    return {foreign: next(iter(english)) for foreign, english in found.items()
            if len(english) == 1 and foreign not in ENGLISH}


MEANINGS = meanings()
