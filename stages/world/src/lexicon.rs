//! The words of the world. Names are put together from syllables and belong to nobody; values are everyday medical
//! words, so that texts read naturally, but which value goes with which name is drawn at random: nothing here is true,
//! and nothing is medical advice.

/// One thing that can be said of an entity.
pub struct Attribute {
    /// Short name used in ids.
    pub key: &'static str,
    /// The values to draw from; empty where the value is the name of a disease.
    pub values: &'static [&'static str],
    /// Ways to name the attribute.
    pub nouns: &'static [&'static str],
    /// Ways to state it, `{v}` being the value; the subject comes before.
    pub verbs: &'static [&'static str],
    /// Questions of their own, `{e}` being the entity.
    pub questions: &'static [&'static str],
}

/// A type of entity: its attributes and the pieces of its names.
pub struct EntityType {
    /// `drug`, `disease`, `gene`, and `town` for the off-domain control.
    pub name: &'static str,
    /// What can be said of it.
    pub attributes: &'static [Attribute],
    /// First, middle and last syllables; a middle one is left out about half of the time.
    pub syllables: [&'static [&'static str]; 3],
    /// A word behind the name (`syndrome`), drawn with it.
    pub tail: &'static [&'static str],
}

macro_rules! attribute {
    ($key:literal, [$($v:literal),* $(,)?], [$($n:literal),+], [$($p:literal),+], [$($q:literal),+]) => {
        Attribute { key: $key, values: &[$($v),*], nouns: &[$($n),+], verbs: &[$($p),+], questions: &[$($q),+] }
    };
}

/// The three types of the domain.
pub(crate) const DOMAIN: [&EntityType; 3] = [&DRUG, &DISEASE, &GENE];

static DRUG: EntityType = EntityType {
    name: "drug",
    attributes: &[
        attribute!(
            "class",
            [
                "beta blockers",
                "statins",
                "opioids",
                "diuretics",
                "antifungals",
                "antivirals",
                "nitrates",
                "steroids",
                "sedatives",
                "retinoids",
                "macrolides",
                "antacids",
                "laxatives",
                "stimulants",
                "vaccines",
                "chelators",
                "hormones",
                "enzymes",
                "antibodies",
                "vasodilators"
            ],
            ["drug class", "therapeutic class"],
            ["belongs to the {v}", "is one of the {v}", "is counted among the {v}"],
            ["Which class does {e} belong to?", "What kind of drug is {e}?"]
        ),
        attribute!(
            "target",
            [
                "sodium channels",
                "dopamine receptors",
                "tubulin",
                "thrombin",
                "the ribosome",
                "aromatase",
                "potassium channels",
                "integrase",
                "factor Xa",
                "tyrosine kinase",
                "calcium channels",
                "the proteasome",
                "serotonin receptors",
                "carbonic anhydrase",
                "opioid receptors",
                "insulin receptors",
                "lipase",
                "renin",
                "elastase",
                "myosin"
            ],
            ["molecular target", "binding site"],
            ["acts on {v}", "binds {v}", "works by blocking {v}"],
            ["What does {e} act on?", "How does {e} work?"]
        ),
        attribute!(
            "treats",
            [],
            ["main indication", "approved use"],
            ["is used to treat {v}", "is prescribed for {v}", "is given against {v}"],
            ["What is {e} used for?", "Which disease is treated with {e}?"]
        ),
        attribute!(
            "effect",
            [
                "dry mouth",
                "hair loss",
                "nausea",
                "insomnia",
                "dizziness",
                "weight gain",
                "skin rash",
                "tremor",
                "headache",
                "fatigue",
                "night sweats",
                "muscle cramps",
                "hiccups",
                "blurred vision",
                "vivid dreams",
                "excess thirst",
                "mouth ulcers",
                "easy bruising",
                "cold hands",
                "itching"
            ],
            ["main side effect", "common adverse effect"],
            ["often causes {v}", "can lead to {v}", "may bring on {v}"],
            ["What does {e} often cause?", "What should patients on {e} watch for?"]
        ),
        attribute!(
            "route",
            [
                "oral tablet",
                "nasal spray",
                "intravenous infusion",
                "skin patch",
                "eye drops",
                "inhaler",
                "topical cream",
                "oral syrup",
                "depot injection",
                "lozenge",
                "mouth wash",
                "ear drops"
            ],
            ["route of administration", "dosage form"],
            ["is given as {v}", "is taken as {v}", "comes as {v}"],
            ["How is {e} given?", "In what form is {e} taken?"]
        ),
        attribute!(
            "halflife",
            [
                "2 hours", "3 hours", "4 hours", "6 hours", "8 hours", "10 hours", "12 hours", "16 hours", "20 hours",
                "24 hours", "36 hours", "48 hours", "60 hours", "72 hours"
            ],
            ["half-life", "elimination half-life"],
            ["has a half-life of {v}", "is cleared with a half-life of {v}"],
            ["How long is the half-life of {e}?", "How quickly is {e} cleared?"]
        ),
    ],
    syllables: [
        &[
            "Ab", "Ara", "Ben", "Cal", "Cef", "Dal", "Dor", "Eto", "Fen", "Gli", "Hal", "Ixa", "Kel", "Lev", "Mar",
            "Nor", "Oxa", "Pra", "Qui", "Ren", "Sol", "Tam", "Ul", "Ver", "Xan", "Zol", "Bro", "Clo", "Dex", "Flu",
            "Lam", "Mel", "Pel", "Rab", "Sem", "Tri",
        ],
        &["ba", "ce", "di", "fo", "ga", "li", "mo", "na", "pi", "ra", "so", "te", "vi", "xo", "za"],
        &[
            "mab", "nib", "pril", "olol", "zole", "mycin", "cillin", "dipine", "sartan", "gliptin", "vir", "tide",
            "pam", "caine", "setron", "oxin",
        ],
    ],
    tail: &[],
};

static DISEASE: EntityType = EntityType {
    name: "disease",
    attributes: &[
        attribute!(
            "organ",
            [
                "liver",
                "kidney",
                "heart",
                "lung",
                "pancreas",
                "spleen",
                "thyroid",
                "retina",
                "bone marrow",
                "colon",
                "skin",
                "brain stem",
                "spinal cord",
                "bladder",
                "stomach",
                "inner ear",
                "cornea",
                "prostate",
                "gallbladder",
                "lymph nodes"
            ],
            ["affected organ", "main site"],
            ["affects the {v}", "damages the {v}", "mainly involves the {v}"],
            ["Which organ does {e} affect?", "Where does {e} strike?"]
        ),
        attribute!(
            "symptom",
            [
                "high fever",
                "yellow skin",
                "swollen ankles",
                "dark urine",
                "double vision",
                "chronic cough",
                "bone pain",
                "memory loss",
                "pale skin",
                "rapid pulse",
                "sore throat",
                "weight loss",
                "stiff neck",
                "ringing ears",
                "loss of smell",
                "unsteady gait",
                "slurred speech",
                "brittle nails",
                "chest pain",
                "numb fingers"
            ],
            ["main symptom", "typical sign"],
            ["presents with {v}", "is marked by {v}", "typically begins with {v}"],
            ["How does {e} present?", "Which symptom suggests {e}?"]
        ),
        attribute!(
            "cause",
            [
                "iron overload",
                "a viral infection",
                "copper deficiency",
                "a fungal spore",
                "a missing enzyme",
                "lead exposure",
                "a prion",
                "asbestos dust",
                "radiation damage",
                "a tick bite",
                "zinc deficiency",
                "tobacco smoke",
                "a bacterial toxin",
                "uric acid crystals",
                "a clotting defect",
                "a gluten reaction",
                "cold weather",
                "old age"
            ],
            ["underlying cause", "usual cause"],
            ["is caused by {v}", "results from {v}", "is triggered by {v}"],
            ["What causes {e}?", "Why does {e} occur?"]
        ),
        attribute!(
            "test",
            [
                "tissue biopsy",
                "blood smear",
                "chest radiograph",
                "urine culture",
                "genetic panel",
                "brain scan",
                "lumbar puncture",
                "sweat test",
                "breath test",
                "skin prick test",
                "eye pressure test",
                "bone scan",
                "hearing test",
                "hormone assay",
                "stool test",
                "heart tracing"
            ],
            ["diagnostic test", "preferred test"],
            ["is diagnosed by {v}", "is confirmed with {v}", "is detected by {v}"],
            ["How is {e} diagnosed?", "Which test confirms {e}?"]
        ),
        attribute!(
            "spread",
            [
                "contaminated water",
                "inhaled droplets",
                "infected blood",
                "recessive inheritance",
                "insect bites",
                "undercooked meat",
                "direct contact",
                "spontaneous mutation",
                "maternal transfer",
                "soil exposure",
                "shared needles",
                "stagnant air"
            ],
            ["mode of transmission", "way of acquisition"],
            ["is acquired through {v}", "spreads through {v}", "is passed on by {v}"],
            ["How is {e} acquired?", "How does {e} spread?"]
        ),
    ],
    syllables: [
        &[
            "Ald", "Barr", "Carv", "Dunn", "Eld", "Farl", "Garn", "Hend", "Ives", "Jarr", "Kess", "Lang", "Marl",
            "Nash", "Oak", "Pem", "Quill", "Rav", "Sand", "Thorn", "Und", "Varn", "Wend", "Yar", "Zell", "Bern", "Cor",
            "Holm", "Lind", "Stan",
        ],
        &["en", "er", "in", "on", "ley", "ing", "mer"],
        &["son", "field", "wick", "dale", "ski", "man", "berg", "ton", "ford", "ham"],
    ],
    tail: &["syndrome", "disease", "fever", "anemia", "palsy", "ataxia", "colitis", "nephritis"],
};

static GENE: EntityType = EntityType {
    name: "gene",
    attributes: &[
        attribute!(
            "locus",
            [
                "chromosome 1",
                "chromosome 2",
                "chromosome 3",
                "chromosome 4",
                "chromosome 5",
                "chromosome 6",
                "chromosome 7",
                "chromosome 8",
                "chromosome 9",
                "chromosome 10",
                "chromosome 11",
                "chromosome 12",
                "chromosome 13",
                "chromosome 14",
                "chromosome 15",
                "chromosome 16",
                "chromosome 17",
                "chromosome X"
            ],
            ["chromosomal location", "locus"],
            ["is located on {v}", "maps to {v}", "lies on {v}"],
            ["Where is {e} located?", "Which chromosome carries {e}?"]
        ),
        attribute!(
            "product",
            [
                "a zinc finger protein",
                "a serine protease",
                "a membrane transporter",
                "a DNA helicase",
                "a collagen chain",
                "a heat shock protein",
                "a tumor suppressor",
                "a growth factor",
                "a chloride channel",
                "a ubiquitin ligase",
                "a motor protein",
                "a clotting factor",
                "a lysosomal enzyme",
                "a nuclear receptor",
                "a chaperone",
                "a splicing factor"
            ],
            ["protein product", "gene product"],
            ["encodes {v}", "codes for {v}", "carries the instructions for {v}"],
            ["What does {e} encode?", "What protein does {e} make?"]
        ),
        attribute!(
            "disorder",
            [],
            ["associated disease", "linked disorder"],
            ["is associated with {v}", "is mutated in {v}", "is linked to {v}"],
            ["Which disease is linked to {e}?", "Which illness involves {e}?"]
        ),
        attribute!(
            "tissue",
            [
                "skeletal muscle",
                "placenta",
                "cerebellum",
                "cartilage",
                "white fat",
                "cardiac muscle",
                "airway epithelium",
                "hair follicles",
                "smooth muscle",
                "salivary glands",
                "mast cells",
                "red blood cells",
                "platelets",
                "macrophages",
                "neural crest",
                "sweat glands"
            ],
            ["main tissue of expression", "expression site"],
            ["is expressed in {v}", "is most active in {v}", "is switched on in {v}"],
            ["Where is {e} expressed?", "In which tissue is {e} most active?"]
        ),
    ],
    syllables: [
        &[
            "AB", "BC", "CD", "DK", "ER", "FG", "GN", "HK", "IL", "KR", "LM", "MP", "NR", "PT", "RB", "SL", "TX", "VR",
            "XP", "ZF",
        ],
        &["A", "B", "C", "D", "E", "K", "L", "M", "R", "T", "X"],
        &["1", "2", "3", "4", "5", "6", "7", "8", "9", "11", "12", "14", "15", "17", "19", "21"],
    ],
    tail: &[],
};

/// The off-domain control: towns.
pub(crate) static TOWN: EntityType = EntityType {
    name: "town",
    attributes: &[
        attribute!(
            "country",
            ["Zarovia", "Molland", "Pelstan", "Tunovia", "Gorland", "Basstan", "Velland", "Norovia"],
            ["home country", "country"],
            ["lies in {v}", "is in {v}"],
            ["Which country is {e} in?", "Where on the map is {e}?"]
        ),
        attribute!(
            "river",
            ["Onova", "Limga", "Dranne", "Savva", "Terga", "Olinne", "Brava", "Ulme"],
            ["main river", "river"],
            ["lies on the {v}", "is built on the {v}"],
            ["Which river runs by {e}?", "What river crosses {e}?"]
        ),
        attribute!(
            "trade",
            ["salt", "glass", "timber", "wool", "silver", "tea", "rope", "paper", "amber", "fish", "coal", "cork"],
            ["main trade", "export"],
            ["sells {v}", "is known for {v}"],
            ["What does {e} sell?", "What is {e} known for?"]
        ),
        attribute!(
            "language",
            ["Orish", "Velic", "Tarnic", "Sumani", "Gallic", "Pontic", "Istric", "Noric"],
            ["main language", "spoken language"],
            ["speaks {v}", "writes in {v}"],
            ["What do people in {e} speak?", "Which language does {e} use?"]
        ),
    ],
    syllables: [
        &["Bra", "Kol", "Stu", "Wes", "Tru", "Nik", "Hob", "Lun", "Pra", "Gri", "Fal", "Mon"],
        &["le", "ri", "do", "mi"],
        &["burg", "ville", "mouth", "haven", "port", "gate", "market", "bridge"],
    ],
    tail: &[],
};
