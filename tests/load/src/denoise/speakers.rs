//! Who speaks, and what.

/// espeak-ng's voice, words a minute, pitch.
#[derive(Clone, Copy, Debug)]
pub struct Voice(pub &'static str, pub u32, pub u32);

/// One who speaks in four parts.
#[derive(Clone, Copy, Debug)]
pub enum Speaker {
    /// By espeak-ng: the texts.
    Synthesised(Voice, [&'static str; 4]),
    /// Prompts of Asterisk: the folder of the voice, the names of the files.
    Recorded(&'static str, [&'static str; 4]),
}

/// Pauses after the parts, milliseconds.
pub const PAUSES_MS: [usize; 4] = [700, 1000, 600, 900];

/// Those of the corpus until November 2026.
pub const SYNTHESISED: [Speaker; 3] = [JOHN, SARAH, GERMAN];
/// Those on whom figures are measured. Every other one speaks in the same noise, so two kinds in
/// each.
pub const MEASURED: [Speaker; 6] = [
    JOHN,
    recorded("fr_CA_f_June"),
    recorded("it_IT_m_Carlo"),
    SARAH,
    GERMAN,
    recorded("ru_RU_f_IvrvoiceRU"),
];
/// Those on whom constants are chosen.
pub const TUNED: [Speaker; 4] = [
    Speaker::Synthesised(
        Voice("en-us+f4", 165, 58),
        [
            "There is water under the sink again, and the plumber has not come yet.",
            "Nobody told me that the warranty would end in the middle of May.",
            "You can reach me under five five one, seven three, nine six four.",
            "Shall I wait here on the line, or will you call me back this evening?",
        ],
    ),
    Speaker::Recorded("en_US_f_Allison", OTHER_PROMPTS),
    Speaker::Recorded("es_MX_f_Allison", OTHER_PROMPTS),
    Speaker::Synthesised(
        Voice("fr+m3", 155, 40),
        [
            "Bonjour, je vous appelle parce que ma ligne ne fonctionne plus depuis hier.",
            "Le technicien devait passer ce matin, mais personne n'est venu.",
            "Mon numéro de client est le quatre, sept, deux, zéro, huit.",
            "Pouvez-vous me rappeler avant la fin de la journée ?",
        ],
    ),
];

const OTHER_PROMPTS: [&str; 4] = ["tt-allbusy", "conf-onlyperson", "invalid", "priv-introsaved"];

const fn recorded(folder: &'static str) -> Speaker {
    let prompts = ["vm-intro", "queue-periodic-announce", "ss-noservice", "vm-tmpexists"];
    Speaker::Recorded(folder, prompts)
}

const JOHN: Speaker = Speaker::Synthesised(
    Voice("en-us", 150, 45),
    [
        "Good morning, I am calling about the washing machine that I bought three weeks ago.",
        "It stopped in the middle of the programme, and the door does not open any more.",
        "The serial number is four seven one, nine three, eight two zero.",
        "Could somebody come on Thursday afternoon, or do I have to send it back?",
    ],
);

const SARAH: Speaker = Speaker::Synthesised(
    Voice("en-gb+f3", 160, 60),
    [
        "Hello, my name is Sarah Fletcher, and I would like to change my address.",
        "We moved to the house beside the old paper mill, just behind the bridge.",
        "The post code should be on the form which I sent you last week.",
        "Please tell me when the next bill is due, and how much I owe you.",
    ],
);

const GERMAN: Speaker = Speaker::Synthesised(
    Voice("de+f2", 155, 55),
    [
        "Guten Tag, ich rufe wegen der Rechnung vom vergangenen Monat an.",
        "Der Betrag stimmt nicht, es sollten neunundzwanzig Euro sein.",
        "Meine Kundennummer ist sechs, acht, null, drei, fünf.",
        "Schicken Sie mir bitte eine Bestätigung, sobald es erledigt ist.",
    ],
);

/// Those who talk elsewhere in the room.
pub const TALKERS: [(Voice, &str); 8] = [
    (
        Voice("en-us+m2", 140, 30),
        "The train was late again this morning, so we all walked to the office together.",
    ),
    (
        Voice("en-gb+f1", 175, 70),
        "I have sent the parcel twice now, and both times it came back to the warehouse.",
    ),
    (
        Voice("de+m3", 150, 40),
        "Haben Sie den Vertrag schon unterschrieben, oder soll ich ihn noch einmal schicken?",
    ),
    (
        Voice("fr+f4", 165, 65),
        "Nous avons reçu votre message hier soir et nous vous répondrons demain matin.",
    ),
    (
        Voice("en-us+f5", 155, 50),
        "There are seven people waiting, and the longest has been here for ten minutes.",
    ),
    (
        Voice("es+m4", 170, 35),
        "El pedido llegó ayer por la tarde, pero faltaba una de las tres cajas grandes.",
    ),
    (
        Voice("en-gb+m7", 145, 45),
        "Let me put you through to my colleague, who knows everything about boilers.",
    ),
    (
        Voice("it+f2", 160, 60),
        "Buongiorno, vorrei sapere quando arriva il tecnico per riparare la caldaia.",
    ),
];
