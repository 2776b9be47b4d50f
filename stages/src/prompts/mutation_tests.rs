//! Damaged templates: thousands of them, the same ones in every run, none of which may panic or hang.

use std::time::{Duration, Instant};

use pipe_testing::mutants::Random;

use super::{BUILT_IN, Demonstration, Passage, PromptContext, PromptTemplate, Purpose};

/// What readers and renderers of templates stumble over.
const PIECES: [&str; 34] = [
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "{{ turn(\"user\") }}",
    "{{ turn(input) }}",
    "{% for d in demonstrations %}",
    "{% endfor %}",
    "{% if ",
    "{% elif input %}",
    "{% endif %}",
    "{% set stop = ",
    "~",
    "|",
    " not not not ",
    "-1",
    "1e308",
    "9223372036854775807",
    "[",
    "]",
    "(",
    ")",
    "|indent(99999999)",
    "|format",
    "\"%1e10d\"",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{{ range(100000) }}",
    "{% raw %}",
    "\u{f8f0}",
    "é",
    "\\",
    "{{ passages[input] }}",
    "{% set ns = namespace(a=1) %}{% set ns.a = ns %}{{ ns }}",
];

fn damage(random: &mut Random, seeds: &[&str]) -> String {
    let mut text: Vec<char> = seeds[random.below(seeds.len())].chars().collect();
    for _ in 0..=random.below(6) {
        let at = random.below(text.len() + 1);
        let end = (at + random.below(40)).min(text.len());
        match random.below(5) {
            0 | 1 => drop(text.splice(at..at, PIECES[random.below(PIECES.len())].chars())),
            2 => drop(text.drain(at..end)),
            3 => {
                let copy = text[at..end].repeat(1 + random.below(20));
                let to = random.below(text.len() + 1);
                drop(text.splice(to..to, copy));
            }
            _ => text.truncate(at.max(10)),
        }
    }
    text.into_iter().collect()
}

#[test]
fn damaged_templates_are_refused_or_rendered() {
    let seeds: Vec<&str> = BUILT_IN.iter().flat_map(|(_, generate, respond)| [*generate, *respond]).collect();
    let demonstrations = || vec![Demonstration { instruction: "a", input: "", output: Some("b"), passages: &[] }; 3];
    let passages = [Passage { id: "1".to_owned(), text: "x \u{f8f0} y".to_owned(), score: 0.5 }];
    let context = PromptContext {
        demonstrations: demonstrations(),
        passages: &passages,
        instruction: Some("{{ c }}"),
        input: "d",
        ..PromptContext::default()
    };
    let mut random = Random(23);
    let start = Instant::now();
    let mut rendered = 0;
    for round in 0..2_000 {
        let text = damage(&mut random, &seeds);
        let before = Instant::now();
        if let Ok(template) = PromptTemplate::new("damaged", &text) {
            rendered += usize::from(template.render(&context).is_ok());
            let _ = template.stop(&context);
            let _ = template.training_text(&context, "e", None);
            template.unknown_names(Purpose::Respond, &text).for_each(drop);
        }
        assert!(before.elapsed() < Duration::from_secs(10), "round {round} took {:?}: {text}", before.elapsed());
        // A busy machine does less; what it does is always the same.
        if start.elapsed() > Duration::from_secs(8) {
            assert!(round > 50, "only {round} rounds in {:?}", start.elapsed());
            break;
        }
    }
    assert!(rendered > 5, "{rendered} could be rendered");
}
