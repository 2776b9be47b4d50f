//! Tasks: what is asked, in which form, and what the right answer is.

use pipe_random::Random;

use crate::{
    phrases::{
        CHOICE_FRAMES, FILL_FRAMES, GENRE_FRAMES, GENRES, HELD_OUT_GENRE_FRAMES, HELD_OUT_PLAIN_FRAMES, PAIR_FRAMES,
        PLAIN_FRAMES, STYLES, SUMMARY_FRAMES,
    },
    rng::Rng,
    world::{Entity, entity_type},
};

/// A kind of task. Its answers follow one house style in an expert's guide, whatever the entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// A plain question for one attribute.
    Plain,
    /// A choice between two values.
    Choice,
    /// A sentence to complete.
    Fill,
    /// Two attributes.
    Pair,
    /// A one-sentence description.
    Summary,
    /// One attribute, to be written as one of [`GENRES`].
    Genre(usize),
}

impl Form {
    /// All 33 forms; towns have no pairs and no summaries.
    pub fn all(town: bool) -> Vec<Self> {
        let mut forms = vec![Self::Plain, Self::Choice, Self::Fill];
        if !town {
            forms.extend([Self::Pair, Self::Summary]);
        }
        forms.extend((0..GENRES.len()).map(Self::Genre));
        forms
    }

    /// Its name in tables (the column `task`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "question",
            Self::Choice => "choice",
            Self::Fill => "completion",
            Self::Pair => "list of two",
            Self::Summary => "description",
            Self::Genre(g) => GENRES[g],
        }
    }
}

/// One thing to do: a form, and the attributes it is about (the second for pairs and summaries only).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Task {
    /// The entity's type.
    pub kind: usize,
    /// The form.
    pub form: Form,
    /// Index of the attribute asked for.
    pub attribute: usize,
    /// Index of the second one.
    pub second: Option<usize>,
}

impl Task {
    /// A task of this form about a type.
    pub fn draw(rng: &mut Rng, kind: usize, form: Form) -> Self {
        let n = entity_type(kind).attributes.len();
        match form {
            Form::Pair => {
                let attribute = rng.below(n);
                Self { kind, form, attribute, second: Some((attribute + 1 + rng.below(n - 1)) % n) }
            }
            Form::Summary => Self { kind, form, attribute: 0, second: Some(1) },
            _ => Self { kind, form, attribute: rng.below(n), second: None },
        }
    }

    /// The attributes it asks for.
    pub fn attributes(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.attribute).chain(self.second)
    }

    /// The value that answers it, without any style.
    pub fn value(&self, entity: &Entity) -> String {
        let first = &entity.values[self.attribute];
        match (self.form, self.second) {
            (Form::Summary, Some(second)) => {
                let say = |a: usize| entity.entity_type().attributes[a].verbs[0].replace("{v}", &entity.values[a]);
                format!("{} {} and {}", entity.name, say(self.attribute), say(second))
            }
            (_, Some(second)) => format!("{first} and {}", entity.values[second]),
            _ => first.clone(),
        }
    }

    /// The wording of the task for an entity. `held_out` takes a frame that only the exam uses, where the form has one.
    pub fn instruction(&self, rng: &mut Rng, entity: &Entity, held_out: bool) -> String {
        let attribute = &entity.entity_type().attributes[self.attribute];
        let noun = rng.pick(attribute.nouns);
        let with = |frame: &str| frame.replace("{e}", &entity.name).replace("{n}", noun);
        match self.form {
            Form::Plain if held_out => with(rng.pick(&HELD_OUT_PLAIN_FRAMES)),
            Form::Plain if rng.chance(0.4) => with(rng.pick(attribute.questions)),
            Form::Plain => with(rng.pick(&PLAIN_FRAMES)),
            Form::Choice => {
                let right = &entity.values[self.attribute];
                let other = other_value(rng, attribute.values, right);
                let (x, y) =
                    if rng.chance(0.5) { (right.as_str(), other.as_str()) } else { (other.as_str(), right.as_str()) };
                with(rng.pick(&CHOICE_FRAMES)).replace("{x}", x).replace("{y}", y)
            }
            Form::Fill => {
                let verb = rng.pick(attribute.verbs).replace("{v}", "");
                with(rng.pick(&FILL_FRAMES)).replace("{s}", verb.trim_end())
            }
            Form::Pair => {
                let second = &entity.entity_type().attributes[self.second.unwrap_or(0)];
                with(rng.pick(&PAIR_FRAMES)).replace("{m}", rng.pick(second.nouns))
            }
            Form::Summary => with(rng.pick(&SUMMARY_FRAMES)),
            Form::Genre(g) => {
                let frame = if held_out { rng.pick(&HELD_OUT_GENRE_FRAMES) } else { rng.pick(&GENRE_FRAMES) };
                with(frame).replace("{g}", GENRES[g])
            }
        }
    }

    /// Whether [`Self::instruction`] has held-out wordings for it.
    pub fn has_held_out(&self) -> bool {
        matches!(self.form, Form::Plain | Form::Genre(_))
    }
}

/// A wrong value for a choice: another of the list, or a made-up disease name where the values are names.
fn other_value(rng: &mut Rng, values: &[&str], right: &str) -> String {
    if values.is_empty() {
        let of = entity_type(1);
        return format!("{}{} {}", rng.pick(of.syllables[0]), rng.pick(of.syllables[2]), rng.pick(of.tail));
    }
    loop {
        let value = rng.pick(values);
        if value != right {
            return value.to_owned();
        }
    }
}

/// An answer in a style.
pub(crate) fn styled(value: &str, style: usize) -> String {
    STYLES[style].replace("{V}", value)
}

/// The expert's guide: which style each form is answered in. Arbitrary, and found nowhere but in the seeds.
pub struct Guide(Vec<(Form, usize)>);

impl Guide {
    /// The guide of a seed; `town` gives the off-domain experts' own.
    pub fn new(seed: u64, town: bool) -> Self {
        let mut rng = Rng::new(seed, if town { "town guide" } else { "guide" }, 0);
        Self(Form::all(false).into_iter().map(|form| (form, rng.below(STYLES.len()))).collect())
    }

    /// The style for a form.
    pub fn style(&self, form: Form) -> usize {
        self.0.iter().find(|(f, _)| *f == form).map_or(0, |(_, style)| *style)
    }

    /// The expert's answer.
    pub fn answer(&self, task: &Task, entity: &Entity) -> String {
        styled(&task.value(entity), self.style(task.form))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{TOWN_TYPE, World, WorldSize};

    /// The style of an answer and the value inside it; style 0 (bare) where no other fits.
    fn read_style(answer: &str) -> (usize, &str) {
        for (style, text) in STYLES.iter().enumerate().skip(1) {
            let (before, after) = text.split_once("{V}").expect("every style has its value");
            if let Some(value) = answer.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)) {
                return (style, value);
            }
        }
        (0, answer)
    }

    #[test]
    fn styles_can_be_read_back() {
        for style in 0..STYLES.len() {
            assert_eq!(read_style(&styled("dry mouth", style)), (style, "dry mouth"));
        }
    }

    #[test]
    fn every_form_names_its_entity_and_leaves_no_gap() {
        let world = World::new(7, &WorldSize::default());
        let mut rng = Rng::new(1, "test", 0);
        for kind in 0..=TOWN_TYPE {
            for form in Form::all(kind == TOWN_TYPE) {
                for held_out in [false, true] {
                    let entity = world.throw_away(&mut rng, kind);
                    let task = Task::draw(&mut rng, kind, form);
                    let text = task.instruction(&mut rng, &entity, held_out);
                    assert!(text.contains(&entity.name) && !text.contains(['{', '}']), "{text}");
                    assert!(text.ends_with(['.', '?']), "{text}");
                    assert!(!task.value(&entity).contains('{'));
                }
            }
        }
    }
}
