//! The tables that the kind writes.

use pipe_engine::kind::{Column, OutputPort};

fn text(name: &'static str, about: &'static str) -> Column {
    Column::text(name, about)
}

fn number(name: &'static str, about: &'static str) -> Column {
    Column::number(name, about)
}

/// What all numbers of an arm in a draw have.
fn of_draw() -> [Column; 3] {
    [
        text("metric", "What is measured."),
        text("arm", "Which arm."),
        text("draw", "Which draw; null where there is one without a name."),
    ]
}

/// An answer in numbers and in words.
fn answer() -> [Column; 12] {
    [
        number("difference", "What is seen."),
        number("low", "The lower end of its interval."),
        number("high", "The upper end."),
        number("df", "For `draws`: degrees of freedom of the t test."),
        number("p", "How often such a difference is seen where there is none."),
        number("p_holm", "The same, corrected for all questions of the family: the verdict goes by it."),
        number(
            "p_same",
            "Where `margins` has one: how often it seems to lie within that and does not, corrected, too.",
        ),
        text("verdict", "In words."),
        Column::new("weak", "true or false", "Whether it rests on fewer than five draws."),
        number("smallest", "The smallest difference that would have been seen."),
        number("needed", "Draws (or items) that would show the difference that was seen."),
        text("computed", "The test; null where none was made."),
    ]
}

fn signature() -> Column {
    text("signature", "What exactly the metric is; null unless a table of scores is connected.")
}

pub(super) fn outputs() -> Vec<OutputPort> {
    vec![
        OutputPort::table("effects")
            .about("One row per answer: a metric, an arm, a task or all, over draws or over the items of a draw.")
            .gives([
                text("metric", "What is measured."),
                text("question", "`draws`: is the choice better? `items`: are the models different?"),
                text("task", "The task, or `all`; `all (task)` is a task that is called so."),
                text("factor", "By what the arm differs from the baseline."),
                text("level", "Its value there."),
                text("arm", "The arm."),
                text("baseline", "What it is held against."),
                text("draw", "For `items`: the draw."),
                number("draws", "Draws that have both; for `items`: draws that have these very rows."),
                number("items", "Items that both have, the most of a draw."),
                number("unpaired", "Draws (or items) that are not used, since one of them has no score."),
                number("baseline_mean", "The baseline's mean, of what is paired."),
                number("mean", "The arm's mean."),
            ])
            .gives(answer())
            .gives([
                number("mixed_difference", "Where a draw lacks an arm: the difference by the mixed model."),
                number("mixed_p", "Its p value, not corrected."),
                number("improved", "For `items`: with a better score than the baseline's."),
                number("regressed", "For `items`: with a worse one."),
                signature(),
            ]),
        OutputPort::table("means")
            .about("The mean of every arm in every draw, over all items and by task.")
            .gives(of_draw())
            .gives([
                text("task", "The task, or `all`; `all (task)` is a task that is called so."),
                text("factor", "By what the arm differs from the baseline."),
                text("level", "Its value there."),
                number("items", "Items with a score."),
                number("mean", "Their mean."),
                signature(),
            ]),
        OutputPort::table("flips")
            .about("Items whose score the arm changes, the largest changes first.")
            .gives(of_draw())
            .gives([
                text("baseline", "What the arm is held against."),
                text("id", "The item."),
                text("task", "Its task."),
                number("baseline_score", "Its score before."),
                number("score", "Its score in the arm."),
                number("difference", "The one less the other."),
                text("flip", "`improved` or `regressed`."),
            ]),
        OutputPort::table("variance")
            .about("Where the spread of single scores is from: shares, and the components of variance.")
            .gives([
                text("metric", "What is measured."),
                text("not_asked", "Why there is no answer, if there is none."),
                number("draws", "Draws that all arms have."),
                number("items", "Items that all draws have."),
                number("draws_left_out", "Draws that an arm lacks."),
                number("items_left_out", "Items that a draw lacks."),
                number("share_draws", "What draws have of the variance."),
                number("share_items", "What items have of it."),
                number("share_sampling", "The rest, which differs from answer to answer."),
                number("draw", "Of draws, in all arms alike."),
                number("arm_draw", "Of draws in which one arm is better."),
                number("item", "Of items, for all arms alike."),
                number("arm_item", "Of items that one arm is better at."),
                number("sampling", "Of single answers."),
            ]),
        OutputPort::table("trends")
            .about("How scores follow numeric factors of three levels or more: slopes of draws.")
            .gives([
                text("metric", "What is measured."),
                text("factor", "The factor."),
                text("per", "`doubling` of it, or `unit` where a level is 0 or below."),
                number("levels", "How many there are."),
                number("items", "Items that all of them have, the most of a draw."),
                number("draws", "Draws that have all of them."),
                number("draws_left_out", "Draws that lack one."),
                number("slope", "The mean slope."),
                number("low", "The lower end of its interval."),
                number("high", "The upper end."),
                number("df", "Degrees of freedom of the t test."),
                number("p", "How often such a slope is seen where there is none."),
                text("verdict", "`rises`, `falls`, `not shown`, or why it was not asked."),
                Column::new("weak", "true or false", "Whether it rests on fewer than five draws."),
            ]),
        OutputPort::table("contrasts")
            .about(
                "Where all combinations of several factors are arms (`matrix`): main effects, averaged over the levels \
                 of the others, and two-way interactions.",
            )
            .gives([
                text("metric", "What is measured."),
                text("question", "`draws`: is the choice better? `items`: are the models different?"),
                text("contrast", "`main effect` or `interaction`."),
                text("factor", "The factor, or both: `a × b`."),
                text("level", "Its level."),
                text("baseline_level", "What that is held against."),
                text("draw", "For `items`: the draw."),
                number("draws", "Draws that have all combinations."),
                number("items", "Items that all of them have, the most of a draw."),
            ])
            .gives(answer()),
        OutputPort::table("left_out")
            .about("What could not be compared, every single one, and why.")
            .gives(of_draw())
            .gives([text("id", "The item; null where it is a draw or an arm."), text("why", "Why.")]),
    ]
}
