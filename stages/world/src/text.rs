//! What the world's texts say: sentences, passages, and the cards that are the retrieval corpus.

use pipe_random::Random;

use crate::{
    rng::Rng,
    world::{Entity, World},
};

/// A sentence that states one attribute. The first sentence of a passage names the entity; later ones may say "It".
fn sentence(rng: &mut Rng, entity: &Entity, attribute: usize, first: bool) -> String {
    let a = &entity.entity_type().attributes[attribute];
    let (value, name, noun) = (&entity.values[attribute], &entity.name, rng.pick(a.nouns));
    let it = !first && rng.chance(0.5);
    match rng.below(10) {
        0..6 => format!("{} {}.", if it { "It" } else { name }, rng.pick(a.verbs).replace("{v}", value)),
        6 | 7 if it => format!("Its {noun} is {value}."),
        6 | 7 => format!("The {noun} of {name} is {value}."),
        8 => format!("{} has {value} as its {noun}.", if it { "It" } else { name }),
        _ => format!("For {name}, the {noun} is {value}."),
    }
}

/// Some or all of what there is to say of an entity, in random order.
pub(crate) fn passage(rng: &mut Rng, entity: &Entity, attributes: &[usize]) -> String {
    let mut order = attributes.to_vec();
    rng.shuffle(&mut order);
    let mut sentences = Vec::new();
    if rng.chance(0.3) {
        sentences.push(format!("{} is a {}.", entity.name, entity.entity_type().name));
    }
    for attribute in order {
        let first = sentences.is_empty();
        sentences.push(sentence(rng, entity, attribute, first));
    }
    sentences.join(" ")
}

/// All attributes of an entity, as indices.
pub(crate) fn all_attributes(entity: &Entity) -> Vec<usize> {
    (0..entity.values.len()).collect()
}

/// One card of the retrieval corpus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Stable id.
    pub id: String,
    /// The entity's name.
    pub title: String,
    /// All that is known of it.
    pub text: String,
}

/// One card per entity, in the world's order.
pub fn cards(world: &World) -> Vec<Card> {
    let card = |(i, entity): (usize, &Entity)| {
        let mut rng = Rng::new(world.seed(), "card", i as u64);
        Card {
            id: format!("card-{i:04}"),
            title: entity.name.clone(),
            text: passage(&mut rng, entity, &all_attributes(entity)),
        }
    };
    world.entities.iter().enumerate().map(card).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::WorldSize;

    #[test]
    fn a_card_says_everything_about_its_entity() {
        let world = World::new(7, &WorldSize::default());
        let cards = cards(&world);
        assert_eq!(cards.len(), world.entities.len());
        for (card, entity) in cards.iter().zip(&world.entities) {
            assert!(card.text.contains(&entity.name));
            for value in &entity.values {
                assert!(card.text.contains(value.as_str()), "{value} is missing in {:?}", card.text);
            }
        }
    }
}
