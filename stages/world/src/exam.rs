//! Seeds, exams and the off-domain control.

use std::collections::BTreeSet;

use pipe_random::Random;

use crate::{
    rng::Rng,
    task::{Form, Guide, Task},
    world::{Entity, TOWN_TYPE, World},
};

/// An instruction with the expert's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Stable id.
    pub id: String,
    /// What is asked.
    pub instruction: String,
    /// The expert's answer.
    pub output: String,
    /// The form's name: the unit of per-task scores, and the stratum of seed subsets.
    pub task: &'static str,
    /// `seen`, or `held_out` for a wording that stands in no training text.
    pub phrasing: &'static str,
    /// The entity it is about.
    pub entity: String,
}

/// Which exam.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// For choosing hyperparameters.
    Development,
    /// For reporting.
    Final,
}

/// How uneven the seeds are over forms: form r (from 0, in the guide's order) is drawn in proportion to `(r +
/// 1)^-SEED_ZIPF`, so that 20 seeds cover about 14 of the 33 forms and 160 about 32.
const SEED_ZIPF: f64 = 0.7;

fn item(rng: &mut Rng, id: String, guide: &Guide, task: &Task, entity: &Entity, held_out: bool) -> Item {
    Item {
        id,
        instruction: task.instruction(rng, entity, held_out),
        output: guide.answer(task, entity),
        task: task.form.name(),
        phrasing: if held_out { "held_out" } else { "seen" },
        entity: entity.name.clone(),
    }
}

/// A (name, task) pair may stand in the seeds or in an exam, not in both, and only once.
type Used = BTreeSet<(String, Task)>;

/// Both exams; forms in turn, entities drawn evenly, about a third of the items in held-out wordings where the form has
/// them.
pub fn exam(world: &World, guide: &Guide, split: Split, n: usize) -> Vec<Item> {
    let (mut used, mut items) = (Used::new(), Vec::new());
    let forms = Form::all(false);
    // The development exam comes first out of one stream, so that the two never share a task.
    let mut rng = Rng::new(world.seed(), "exam", 0);
    for (part, label) in [(Split::Development, "dev"), (Split::Final, "exam")] {
        let mut i = 0;
        while i < n {
            let form = forms[i % forms.len()];
            let kind = rng.below(3);
            let task = Task::draw(&mut rng, kind, form);
            let entity = world.uniform(&mut rng, kind);
            if !used.insert((entity.name.clone(), task)) {
                continue;
            }
            let held_out = task.has_held_out() && rng.chance(1.0 / 3.0);
            let made = item(&mut rng, format!("{label}-{i:04}"), guide, &task, entity, held_out);
            if part == split {
                items.push(made);
            }
            i += 1;
        }
        if part == split {
            break;
        }
    }
    items
}

/// `n` seeds in drawing order: a longer list starts with the shorter one. None of them asks what an exam of `exam_size`
/// items asks.
pub fn seeds(world: &World, guide: &Guide, draw: u64, n: usize, exam_size: usize) -> Vec<Item> {
    let mut asked: BTreeSet<(String, &str, String)> = BTreeSet::new();
    for split in [Split::Development, Split::Final] {
        asked.extend(exam(world, guide, split, exam_size).into_iter().map(|i| (i.entity, i.task, i.output)));
    }
    let mut forms = Form::all(false);
    Rng::new(world.seed(), "order of forms", 0).shuffle(&mut forms);
    let weights: Vec<f64> = (1..=forms.len()).map(|r| (r as f64).powf(-SEED_ZIPF)).collect();
    let mut rng = Rng::new(world.seed(), "seeds", draw);
    let mut out = Vec::with_capacity(n);
    while out.len() < n {
        let form = forms[rng.weighted(&weights)];
        let kind = rng.below(3);
        let task = Task::draw(&mut rng, kind, form);
        let entity = world.uniform(&mut rng, kind);
        let made = item(&mut rng, format!("seed-{draw}-{:04}", out.len()), guide, &task, entity, false);
        if asked.insert((made.entity.clone(), made.task, made.output.clone())) {
            out.push(made);
        }
    }
    out
}

/// `n` seeds about towns by experts with a guide of their own.
pub fn off_domain_seeds(world: &World, guide: &Guide, draw: u64, n: usize) -> Vec<Item> {
    let forms = Form::all(true);
    let mut rng = Rng::new(world.seed(), "off-domain seeds", draw);
    (0..n)
        .map(|i| {
            let form = rng.pick(&forms);
            let task = Task::draw(&mut rng, TOWN_TYPE, form);
            let entity = world.throw_away(&mut rng, TOWN_TYPE);
            item(&mut rng, format!("town-{draw}-{i:04}"), guide, &task, &entity, false)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::WorldSize;

    fn world() -> (World, Guide) {
        (World::new(7, &WorldSize::default()), Guide::new(7, false))
    }

    #[test]
    fn shorter_seed_lists_start_longer_ones_and_cover_fewer_forms() {
        let (world, guide) = world();
        let all = seeds(&world, &guide, 0, 160, 660);
        assert_eq!(seeds(&world, &guide, 0, 20, 660), all[..20]);
        let covered = |n: usize| all[..n].iter().map(|i| i.task).collect::<BTreeSet<_>>().len();
        assert!((10..=17).contains(&covered(20)), "{}", covered(20));
        assert!(covered(160) >= 29, "{}", covered(160));
        assert_ne!(seeds(&world, &guide, 1, 20, 660), all[..20]);
    }

    #[test]
    fn exams_share_nothing_with_each_other_nor_with_the_seeds() {
        let (world, guide) = world();
        let (dev, last) = (exam(&world, &guide, Split::Development, 660), exam(&world, &guide, Split::Final, 660));
        let questions: BTreeSet<&str> = dev.iter().map(|i| i.instruction.as_str()).collect();
        assert!(last.iter().all(|i| !questions.contains(i.instruction.as_str())));
        let seeds = seeds(&world, &guide, 0, 160, 660);
        assert!(seeds.iter().all(|s| !dev.iter().chain(&last).any(|e| e.instruction == s.instruction)));
        assert_eq!(last.iter().filter(|i| i.task == "speech").count(), 20);
        assert!(last.iter().filter(|i| i.phrasing == "held_out").count() > 100);
    }
}
