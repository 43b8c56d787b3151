"""Words for the made-up export: people, companies and places that do not exist, from ten parts of the world."""
# ruff: noqa: RUF001  Turkish and Greek letters are meant

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Region:
    """`postal` is a pattern for three digits; `family_first` tells how a name is written."""

    country: str
    currency: str
    phone: str
    postal: str
    given: tuple[str, ...]
    family: tuple[str, ...]
    cities: tuple[str, ...]
    streets: tuple[str, ...]
    forms: tuple[str, ...]
    family_first: bool = False


REGIONS = (
    Region(
        "Germany", "EUR", "+49 30 5550", "2{:03d}1",
        ("Jürgen", "Anneliese", "Björn", "Käthe", "Matthias", "Sigrid", "Götz", "Ulrike"),
        ("Möllenbrück", "Grünwaldt", "Strößner", "Hafenrichter", "Weißdorn", "Overkamp", "Löwenherz-Bäcker"),
        ("Hafenbrück", "Königsmoor", "Düsterwald an der Aue", "Neu Bärenthal", "Großlinden"),
        ("Speicherstraße", "Am Alten Kai", "Lindenallee", "Müllergasse", "Schäferweg"),
        ("GmbH", "AG", "& Söhne KG", "e. K."),
    ),
    Region(
        "France", "EUR", "+33 1 9900", "3{:03d}0",
        ("Éloïse", "François", "Zoé", "Jérôme", "Maëlys", "Benoît", "Anaïs", "Gaël"),
        ("Delacôte", "Beauséjour", "L'Hermite-Noël", "Garçonnet", "Rivière-Morte", "Château-Vif"),
        ("Saint-Orvault", "Brévancourt", "Port-Aigle", "La Chênaie-sur-Lys", "Mâconvilliers"),
        ("rue des Échevins", "quai de l'Étoile", "avenue du Général Fabre", "place aux Œufs"),
        ("SARL", "SAS", "et Fils", "S.A."),
    ),
    Region(
        "Sweden", "SEK", "+46 8 5550", "{:03d} 10",
        ("Åsa", "Örjan", "Märta", "Göran", "Linnéa", "Håkan", "Sven-Åke", "Ylva"),
        ("Sjöqvist", "Ljungmark", "Ångström-Berg", "Näslund", "Öhrnfelt", "Björkhaga"),
        ("Ljungvik", "Stenåsen", "Norra Ängsholm", "Örnsjö", "Hästnäs"),
        ("Hamngatan", "Kärrvägen", "Översteg", "Björkstigen"),
        ("AB", "Handelsbolag", "& Co AB"),
    ),
    Region(
        "Poland", "PLN", "+48 22 555", "00-{:03d}",
        ("Żaneta", "Łukasz", "Małgorzata", "Grzegorz", "Świętosława", "Paweł", "Bożena"),
        ("Wiśniowiecka-Żak", "Dąbrowicz", "Świerkowski", "Źródlak", "Łąkowski", "Gęsior"),
        ("Brzezinów", "Nowa Łąka", "Świerkowo Górne", "Żurawiec", "Dębina"),
        ("ul. Portowa", "ul. Źródlana", "al. Trzech Wież", "ul. Łabędzia"),
        ("Sp. z o.o.", "S.A.", "i Wspólnicy"),
    ),
    Region(
        "Portugal", "EUR", "+351 21 555", "4{:03d}-015",
        ("João", "Conceição", "Inês", "Estêvão", "Lurdes", "Nuno", "Simão"),
        ("Magalhães-Brito", "Falcão", "Vilaça", "Quintanilha", "Açoreano", "Brandão"),
        ("Vila Nova do Lázaro", "Póvoa da Ribeira", "São Tristão", "Alcântara-a-Velha"),
        ("Rua das Flores", "Travessa do Cais", "Largo da Sé", "Avenida dos Descobrimentos"),
        ("Lda.", "S.A.", "& Irmãos"),
    ),
    Region(
        "Türkiye", "TRY", "+90 212 555", "34{:03d}",
        ("Gülşen", "İbrahim", "Çağla", "Ömer", "Işıl", "Şükrü", "Doğan"),
        ("Yıldırımoğlu", "Çelikkaya", "Özgündüz", "Şahinbaş", "Ağaoğlu-Tez"),
        ("Güneşköy", "Yeni Çınarlı", "Işıkhisar", "Dereağzı"),
        ("Kervan Sokağı", "Çınar Caddesi", "İskele Yolu"),
        ("A.Ş.", "Ltd. Şti.", "ve Oğulları"),
    ),
    Region(
        "Greece", "EUR", "+30 21 0555", "11{:03d}",
        ("Αθηνά", "Γιώργος", "Ελένη", "Νικόλαος", "Χρυσούλα"),
        ("Παπαλευκάκης", "Θαλασσινός", "Καραβίδη", "Αστερίου"),
        ("Νέα Καλλιθέα Άνω", "Πόρτο Λευκό", "Αστροχώρι"),
        ("Οδός Λιμένος", "Οδός Ελαιών", "Πλατεία Φάρου"),
        ("Α.Ε.", "Ε.Π.Ε.", "& Υιοί"),
    ),
    Region(
        "Japan", "JPY", "+81 3 5550", "{:03d}-0001",
        ("さくら", "健太", "美咲", "大輔", "陽子", "翔"),
        ("海野", "白波", "東雲", "桜庭", "月島"),
        ("港北町", "白帆市", "青松市", "霧ヶ峰村"),
        ("波止場通り", "本町", "桜坂"),
        ("株式会社", "合同会社"),
        family_first=True,
    ),
    Region(
        "Taiwan", "TWD", "+886 2 5550", "{:03d}",
        ("雅婷", "志明", "淑芬", "家豪", "怡君"),
        ("雲", "帆", "歐陽", "司徒", "江"),
        ("新港市", "雲嶺鎮", "海棠鄉"),
        ("港口路", "中正街", "海安路"),
        ("有限公司", "股份有限公司"),
        family_first=True,
    ),
    Region(
        "Ireland", "EUR", "+353 1 555", "V95 F{:03d}",
        ("Siobhán", "Pádraig", "Aoife", "Seán", "Niamh", "Tom", "Mary-Kate"),
        ("O'Halloran-Pike", "Ní Bhriain", "Fitzwarren", "Mac Cárthaigh", "Doyle"),
        ("Ballycastor", "Dún na Long", "Portmorrow", "Inishglas"),
        ("Quay Street", "The Coombe", "Sráid na Mara", "Mill Lane"),
        ("Ltd.", "Teoranta", "& Daughters"),
    ),
)  # fmt: skip

COMPANY_NAMES = (
    "Nordlicht", "Ostwind", "Baltique", "Três Marés", "Hafenkontor", "Blå Fyr", "Żagiel", "Meltem", "Κύμα",
    "海風", "波の音", "星雲", "Saltmarsh", "Ankerplatz", "Côte & Cie", "Lampedusa", "Vela Maior", "Grüne Welle",
    "Kōbō", "Morskie Oko", "Étoile du Port", "Storfjord", "Tramuntana", "Kestrel",
)  # fmt: skip
TRADES = (
    "Logistik", "Trading", "Feinkost", "Textiles", "Naval", "Robotik", "Papeterie", "Optik", "Kaffee", "Werkzeuge",
    "Bokhandel", "Café", "Marine", "Gartenbau", "Elektronik", "Mode",
)  # fmt: skip
SEGMENTS = ("enterprise", "mid-market", "retail", "public sector")
MANAGERS = ("A. Nyström", "K. Böhm", "T. Ōkubo", "M. Ferrão", "S. Ó Dálaigh", "É. Laurent")
NOTES = (
    "prefers e-mail 📧", "calls on Mondays", "große Abnahme im Herbst 🍂", "paiement à 30 jours", "VIP ⭐",
    "déjà livré au quai n° 3", "bitte vorher anrufen", "請開統一發票", "領収書必要",
)  # fmt: skip
PRODUCTS = (
    "Schäkel", "Bollard", "Tauwerk", "Lanterne", "Segeltuch", "Winsch", "Boussole", "Fender", "Sextant", "Ankerkette",
    "羅針盤", "Ölzeug", "Kajüttisch", "Żaglówka", "Rettungsring", "Café en grains",
)  # fmt: skip
MATERIALS = ("Messing", "acier inox", "ek", "Leinen", "bambu", "陶", "Gummi", "chêne", "Alu")
CATEGORIES = ("deck", "rigging", "galley", "navigation", "safety", "clothing")
CHANNELS = ("web", "phone", "fair", "partner", "app")
ORDER_STATES = ("open", "shipped", "delivered", "returned")
GREETINGS = (
    "Alles Gute! 🎂", "Bon anniversaire, Zoé 🎉", "お誕生日おめでとう", "Grattis! 🥳", "Happy sailing ⛵", "生日快樂",
    "Καλά ταξίδια 🌊", "👩‍✈️👨‍👩‍👧 from all of us",
)  # fmt: skip
