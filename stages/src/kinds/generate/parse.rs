//! From what the model wrote to an instruction and its input.

/// What a line is labelled as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    Instruction,
    Input,
    /// The next part of the list, or an answer that nobody asked for.
    Other,
}

/// The label of a line and what stands behind it. Numbers, list marks and Markdown's emphasis around it are ignored.
fn label(line: &str) -> Option<(Label, &str)> {
    let marks = |c: char| c.is_whitespace() || "*_#>-".contains(c);
    if line.trim_start().starts_with("###") && line.trim_matches(marks).is_empty() {
        return Some((Label::Other, ""));
    }
    let rest = line.trim_start_matches(marks);
    let unnumbered = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = if unnumbered.len() < rest.len() { unnumbered.trim_start_matches(['.', ')']) } else { rest };
    let rest = rest.trim_start_matches(marks);
    let (word, behind) = rest.split_once(':')?;
    let label = match word.trim_matches(marks).to_ascii_lowercase().as_str() {
        "instruction" => Label::Instruction,
        "input" => Label::Input,
        "output" | "response" | "answer" => Label::Other,
        _ => return None,
    };
    Some((label, behind.trim_start_matches('*')))
}

/// What models write where a task needs no input.
fn is_placeholder(input: &str) -> bool {
    let word = input.trim_matches(|c: char| c.is_whitespace() || "<>[]().".contains(c)).to_ascii_lowercase();
    matches!(&*word, "noinput" | "no input" | "none" | "n/a" | "not applicable")
}

/// The instruction and its input (empty where there is none), or `None` where the text holds no instruction.
///
/// The text goes on where the prompt ended, behind `Instruction:`; models that repeat the label, or say something
/// before it, are understood.
pub(crate) fn parse(text: &str) -> Option<(String, String)> {
    let (mut instruction, mut input) = (Vec::new(), Vec::new());
    let lines: Vec<&str> = text.lines().collect();
    // A repeated label counts only as long as nothing else was labelled: behind an input begins the next task.
    let first_label = lines.iter().position(|line| label(line).is_some());
    let begin = first_label.filter(|&i| matches!(label(lines[i]), Some((Label::Instruction, _)))).unwrap_or(0);
    let mut in_input = false;
    for (i, line) in lines[begin..].iter().enumerate() {
        match label(line) {
            Some((Label::Instruction, rest)) if i == 0 => instruction.push(rest.trim()),
            Some((Label::Input, rest)) if !in_input => {
                in_input = true;
                input.push(rest.trim());
            }
            Some(_) => break,
            None if in_input => input.push(line.trim_end()),
            None => instruction.push(line.trim_end()),
        }
    }
    let join = |lines: Vec<&str>| lines.join("\n").trim().to_owned();
    let (instruction, input) = (join(instruction), join(input));
    let input = if is_placeholder(&input) { String::new() } else { input };
    (!instruction.is_empty()).then_some((instruction, input))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_and_inputs_are_found() {
        for (text, instruction, input) in [
            (" What is it?", "What is it?", ""),
            (" Summarise.\nInput: A text\nof two lines.", "Summarise.", "A text\nof two lines."),
            (" Do it.\n4. Input:\n<noinput>\n", "Do it.", ""),
            (" Do it.\n4. Input: N/A\n###\n5. Instruction: more", "Do it.", ""),
            ("Sure!\n\n**Instruction:** Do it.\n**Input:** x\n**Output:** y", "Do it.", "x"),
            ("1. Instruction: Do it.\n2. Instruction: Do that.", "Do it.", ""),
            ("Classify: good or bad?\nInput: fine", "Classify: good or bad?", "fine"),
            ("First line\nsecond line", "First line\nsecond line", ""),
        ] {
            assert_eq!(parse(text), Some((instruction.to_owned(), input.to_owned())), "{text:?}");
        }
        for text in ["", " \n ", "Input: only an input", "###\n"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
