//! Pretraining documents. Each is a list of segments with loss weights: what the model shall learn to say weighs more
//! than what it reads.
//!
//! Answers to questions about entities of the world stand nowhere: closed-book answering is never trained. Reading
//! comprehension is about throw-away entities; lists of instructions ask about real ones but hold no answers; passages
//! state the facts.

use pipe_random::Random;

use crate::{
    rng::Rng,
    task::{Form, Task, styled},
    text::{all_attributes, passage},
    world::{Entity, TOWN_TYPE, World},
};

/// A piece of a document with the weight of its tokens in the loss.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// The text, line ends included.
    pub text: String,
    /// Weight of each of its tokens.
    pub weight: f32,
}

/// The kinds of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// Passages about entities of the world.
    Passages,
    /// Instructions and outputs with the passage that answers them, about throw-away entities; a form's style is random
    /// per document.
    Reading,
    /// Lists of instructions that keep to the forms they began with, about entities of the world.
    List,
    /// A throw-away passage twice: teaches copying.
    Copy,
}

/// Loss weights in reading comprehension, as found in experiments: what is read, demonstrated, answered; the first word
/// of an answer, which shows the style, counts more.
const READ: f32 = 0.03;
const DEMONSTRATED: f32 = 0.1;
const ANSWER: f32 = 3.0;
const FIRST_WORD: f32 = 7.5;
/// Answers of documents that show noise count less: they teach that wrong demonstrations are followed by wrong answers.
const NOISY_ANSWER: f32 = 2.0;

/// Document `index` of its kind; depends on the world and the index alone.
pub fn document(world: &World, kind: DocumentKind, index: u64) -> Vec<Segment> {
    let segment = |text: String| vec![Segment { text, weight: 1.0 }];
    match kind {
        DocumentKind::Passages => segment(passages(world, &mut Rng::new(world.seed(), "passages", index))),
        DocumentKind::List => segment(list(world, &mut Rng::new(world.seed(), "list", index))),
        DocumentKind::Reading => reading(world, &mut Rng::new(world.seed(), "reading", index)),
        DocumentKind::Copy => {
            let mut rng = Rng::new(world.seed(), "copy", index);
            let kind = rng.below(3);
            let entity = world.throw_away(&mut rng, kind);
            let text = passage(&mut rng, &entity, &all_attributes(&entity)) + "\n";
            vec![Segment { text: text.clone(), weight: 0.1 }, Segment { text, weight: 1.0 }]
        }
    }
}

fn passages(world: &World, rng: &mut Rng) -> String {
    let mut text = String::new();
    for _ in 0..=rng.below(4) {
        let kind = rng.below(3);
        let entity = world.popular(rng, kind);
        let some = 2 + rng.below(3);
        let attributes = rng.sample(&all_attributes(entity), some);
        text += &(passage(rng, entity, &attributes) + "\n");
    }
    text
}

/// One to three forms, mostly three.
fn some_forms(rng: &mut Rng, town: bool) -> Vec<Form> {
    let n = [1, 2, 3, 3, 3][rng.below(5)];
    rng.sample(&Form::all(town), n)
}

fn list(world: &World, rng: &mut Rng) -> String {
    let town = rng.chance(0.07);
    let forms = some_forms(rng, town);
    let n = 4 + rng.below(5);
    let mut text = String::new();
    for i in 0..n {
        // Every form once first, so that the start of a list shows what it is about.
        let form = if i < forms.len() { forms[i] } else { rng.pick(&forms) };
        let kind = if town { TOWN_TYPE } else { rng.below(3) };
        let entity = if town { world.throw_away(rng, kind) } else { world.popular(rng, kind).clone() };
        let task = Task::draw(rng, kind, form);
        text.push_str("Instruction: ");
        text.push_str(&task.instruction(rng, &entity, false));
        text.push('\n');
    }
    text
}

fn reading(world: &World, rng: &mut Rng) -> Vec<Segment> {
    let town = rng.chance(0.06);
    let forms = some_forms(rng, town);
    let mut styles: Vec<(Form, usize)> = forms
        .iter()
        .copied()
        .zip(rng.sample(&(0..crate::phrases::STYLES.len()).collect::<Vec<_>>(), forms.len()))
        .collect();
    // A few documents answer wrongly, in part or throughout: there the model learns that demonstrations may be noise.
    let noise = match rng.below(100) {
        0..8 => 1.0,
        8..12 => 0.5,
        _ => 0.0,
    };
    let kind_of = |rng: &mut Rng| if town { TOWN_TYPE } else { rng.below(3) };
    let mut segments = Vec::new();

    let demonstrations = [0, 1, 1, 2, 3, 3][rng.below(6)];
    for i in 0..demonstrations {
        let form = forms[i % forms.len()];
        let kind = kind_of(rng);
        let entity = world.throw_away(rng, kind);
        let task = Task::draw(rng, kind, form);
        segments.push(Segment {
            text: format!("Instruction: {}\nOutput:", task.instruction(rng, &entity, false)),
            weight: READ,
        });
        let answer = answer(world, rng, &task, &entity, style_of(&styles, form), noise);
        segments.push(Segment { text: format!(" {answer}\n\n"), weight: DEMONSTRATED });
    }

    let kind = kind_of(rng);
    let entity = world.throw_away(rng, kind);
    let text = format!("Passage: {}\n", passage(rng, &entity, &all_attributes(&entity)));
    segments.push(Segment { text, weight: READ });
    for _ in 0..2 + rng.below(2) {
        let form = if rng.chance(0.9) {
            rng.pick(&forms)
        } else {
            // A form without a demonstration: usually answered in a style that was shown.
            let form = rng.pick(&Form::all(town));
            if !styles.iter().any(|(f, _)| *f == form) {
                let style = if rng.chance(0.8) { rng.pick(&styles).1 } else { rng.below(crate::phrases::STYLES.len()) };
                styles.push((form, style));
            }
            form
        };
        let task = Task::draw(rng, kind, form);
        segments.push(Segment {
            text: format!("Instruction: {}\nOutput:", task.instruction(rng, &entity, false)),
            weight: READ,
        });
        let answer = format!(" {}\n", answer(world, rng, &task, &entity, style_of(&styles, form), noise));
        let weight = if noise > 0.0 { NOISY_ANSWER } else { ANSWER };
        let first_word = answer[1..].find(' ').map_or(answer.len() - 1, |end| end + 1);
        let (first, rest) = answer.split_at(first_word);
        segments.push(Segment { text: first.to_owned(), weight: if noise > 0.0 { NOISY_ANSWER } else { FIRST_WORD } });
        segments.push(Segment { text: rest.to_owned(), weight });
    }
    segments.push(Segment { text: "\n".to_owned(), weight: READ });
    segments
}

fn style_of(styles: &[(Form, usize)], form: Form) -> usize {
    styles.iter().find(|(f, _)| *f == form).map_or(0, |(_, style)| *style)
}

/// The right answer in the document's style, or with probability `noise` that of another task about something else.
fn answer(world: &World, rng: &mut Rng, task: &Task, entity: &Entity, style: usize, noise: f64) -> String {
    if !rng.chance(noise) {
        return styled(&task.value(entity), style);
    }
    let kind = rng.below(3);
    let other = world.throw_away(rng, kind);
    let form = rng.pick(&Form::all(false));
    let task = Task::draw(rng, kind, form);
    styled(&task.value(&other), rng.below(crate::phrases::STYLES.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::WorldSize;

    const KINDS: [DocumentKind; 4] =
        [DocumentKind::Passages, DocumentKind::Reading, DocumentKind::List, DocumentKind::Copy];

    fn text(segments: &[Segment]) -> String {
        segments.iter().map(|s| s.text.as_str()).collect()
    }

    #[test]
    fn documents_depend_on_the_index_alone() {
        let world = World::new(7, &WorldSize::default());
        for kind in KINDS {
            assert_eq!(document(&world, kind, 5), document(&world, kind, 5));
            assert_ne!(text(&document(&world, kind, 5)), text(&document(&world, kind, 6)));
        }
    }

    #[test]
    fn no_question_about_the_world_is_answered() {
        let world = World::new(7, &WorldSize::default());
        for index in 0..2000 {
            let reading = text(&document(&world, DocumentKind::Reading, index));
            for line in reading.lines().filter(|l| l.starts_with("Instruction: ")) {
                // A throw-away drug may treat a real disease, so a real name can stand as a value in a choice, but
                // never as the subject.
                if let Some(entity) = world.mentioned_in(line) {
                    assert!(
                        line.contains(&format!("{} or ", entity.name)) || line.contains(&format!("or {}", entity.name)),
                        "{line}"
                    );
                }
            }
            assert!(!text(&document(&world, DocumentKind::List, index)).contains("Output"));
        }
    }

    #[test]
    fn held_out_wordings_stand_in_no_document() {
        let world = World::new(7, &WorldSize::default());
        for index in 0..2000 {
            for kind in KINDS {
                let text = text(&document(&world, kind, index));
                assert!(
                    !text.contains("Please name the")
                        && !text.contains("Write about the")
                        && !text.contains(", state the")
                );
            }
        }
    }
}
