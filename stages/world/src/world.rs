//! Who is in the world and what is true of them.

use std::collections::{BTreeMap, BTreeSet};

use pipe_random::Random;

use crate::{
    lexicon::{DOMAIN, EntityType, TOWN},
    rng::Rng,
};

/// One drug, disease, gene or town.
#[derive(Debug, Clone)]
pub struct Entity {
    /// Index into the types of the domain; [`TOWN_TYPE`] for a town.
    pub kind: usize,
    /// Its name.
    pub name: String,
    /// One value per attribute of its type.
    pub values: Vec<String>,
}

/// The pseudo-index of the off-domain type, behind those of the domain.
pub(crate) const TOWN_TYPE: usize = DOMAIN.len();

/// The type behind an index.
pub(crate) fn entity_type(kind: usize) -> &'static EntityType {
    DOMAIN.get(kind).copied().unwrap_or(&TOWN)
}

impl Entity {
    /// Its type.
    pub fn entity_type(&self) -> &'static EntityType {
        entity_type(self.kind)
    }
}

/// How large the world is and how unevenly its texts speak of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WorldSize {
    /// Number of drugs, diseases and genes.
    pub entities: [usize; 3],
    /// Exponent of the Zipf-like popularity within a type: entity r (from 0) is spoken of in proportion to `(r +
    /// 20)^-popularity`.
    pub popularity: f64,
}

impl Default for WorldSize {
    fn default() -> Self {
        Self { entities: [600, 600, 500], popularity: 0.6 }
    }
}

/// The world: entities by type, most spoken of first.
pub struct World {
    /// All entities of the domain.
    pub entities: Vec<Entity>,
    /// Where each type starts and ends in `entities`.
    ranges: [std::ops::Range<usize>; 3],
    popularity: [Vec<f64>; 3],
    names: BTreeMap<String, usize>,
    seed: u64,
}

fn name(rng: &mut Rng, of: &EntityType) -> String {
    let [first, middle, last] = of.syllables;
    let middle = if of.name == "gene" || rng.chance(0.55) { rng.pick(middle) } else { "" };
    let stem = format!("{}{middle}{}", rng.pick(first), rng.pick(last));
    if of.tail.is_empty() { stem } else { format!("{stem} {}", rng.pick(of.tail)) }
}

fn values(rng: &mut Rng, of: &EntityType, disease: &mut dyn FnMut(&mut Rng) -> String) -> Vec<String> {
    let value = |a: &crate::lexicon::Attribute| {
        if a.values.is_empty() { disease(rng) } else { (rng.pick(a.values)).to_owned() }
    };
    of.attributes.iter().map(value).collect()
}

impl World {
    /// The world of a seed. The same seed and size give the same world on any machine.
    pub fn new(seed: u64, size: &WorldSize) -> Self {
        let mut taken = BTreeSet::new();
        let mut fresh_names = |kind: usize| -> Vec<String> {
            let mut rng = Rng::new(seed, "names", kind as u64);
            let mut out = Vec::with_capacity(size.entities[kind]);
            while out.len() < size.entities[kind] {
                let candidate = name(&mut rng, DOMAIN[kind]);
                if taken.insert(candidate.clone()) {
                    out.push(candidate);
                }
            }
            out
        };
        let by_type: [Vec<String>; 3] = std::array::from_fn(&mut fresh_names);
        let diseases = by_type[1].clone();
        let mut entities = Vec::new();
        let mut ranges = [0..0, 0..0, 0..0];
        for (kind, names) in by_type.into_iter().enumerate() {
            let start = entities.len();
            for (i, name) in names.into_iter().enumerate() {
                let mut rng = Rng::new(seed, DOMAIN[kind].name, i as u64);
                let values = values(&mut rng, DOMAIN[kind], &mut |rng| diseases[rng.below(diseases.len())].clone());
                entities.push(Entity { kind, name, values });
            }
            ranges[kind] = start..entities.len();
        }
        let popularity =
            ranges.clone().map(|r| (0..r.len()).map(|rank| (rank as f64 + 20.0).powf(-size.popularity)).collect());
        let names = entities.iter().enumerate().map(|(i, e)| (e.name.clone(), i)).collect();
        Self { entities, ranges, popularity, names, seed }
    }

    /// The seed it was made from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// An entity of a type, the popular ones more often.
    pub fn popular(&self, rng: &mut Rng, kind: usize) -> &Entity {
        &self.entities[self.ranges[kind].start + rng.weighted(&self.popularity[kind])]
    }

    /// An entity of a type, each as often as any other.
    pub fn uniform(&self, rng: &mut Rng, kind: usize) -> &Entity {
        &self.entities[self.ranges[kind].start + rng.below(self.ranges[kind].len())]
    }

    /// An entity that is not of this world: seen once, in a text that says all that can be known of it.
    pub fn throw_away(&self, rng: &mut Rng, kind: usize) -> Entity {
        let of = entity_type(kind);
        let name = loop {
            let candidate = name(rng, of);
            if !self.names.contains_key(&candidate) {
                break candidate;
            }
        };
        let half_real = rng.chance(0.5);
        let values = values(rng, of, &mut |rng| {
            if half_real { self.uniform(rng, 1).name.clone() } else { self::name(rng, DOMAIN[1]) }
        });
        Entity { kind, name, values }
    }

    /// The entity of the domain whose name stands in `text`; the longest name where several do.
    #[cfg(test)]
    pub(crate) fn mentioned_in(&self, text: &str) -> Option<&Entity> {
        let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
        let pairs = words.windows(2).map(|w| format!("{} {}", w[0], w[1]));
        let singles = words.iter().map(|w| (*w).to_owned());
        pairs.chain(singles).find_map(|n| self.names.get(&n)).map(|&i| &self.entities[i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_world() {
        let (a, b) = (World::new(7, &WorldSize::default()), World::new(7, &WorldSize::default()));
        assert!(a.entities.iter().zip(&b.entities).all(|(x, y)| x.name == y.name && x.values == y.values));
        assert!(World::new(8, &WorldSize::default()).entities[0].name != a.entities[0].name);
    }

    #[test]
    fn names_are_unique_and_diseases_referred_to_exist() {
        let world = World::new(7, &WorldSize::default());
        assert_eq!(world.entities.len(), 1700);
        assert_eq!(world.names.len(), 1700);
        for e in &world.entities {
            for (value, attribute) in e.values.iter().zip(e.entity_type().attributes) {
                if attribute.values.is_empty() {
                    assert_eq!(world.entities[world.names[value]].kind, 1, "{} treats {value}", e.name);
                }
            }
        }
    }

    #[test]
    fn an_entity_is_found_by_its_name_in_a_sentence() {
        let world = World::new(7, &WorldSize::default());
        for e in world.entities.iter().step_by(97) {
            assert_eq!(
                world.mentioned_in(&format!("For the memo, give the locus of {}.", e.name)).unwrap().name,
                e.name
            );
        }
        assert!(world.mentioned_in("Nothing is known.").is_none());
    }
}
