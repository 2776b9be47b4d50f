//! What stands in a Markdown page: fenced blocks, spans of code, and commands of `pipe` in them.

/// A fenced block: what stands behind the fence, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// `yaml`, `console`; empty where there is none.
    pub language: String,
    /// The words behind the language: `file=x.csv`, `planned`.
    pub words: Vec<String>,
    pub text: String,
    /// The lines of its text in the page, from 0.
    pub lines: std::ops::Range<usize>,
}

impl Block {
    /// Whether a word stands behind the fence.
    pub(crate) fn says(&self, word: &str) -> bool {
        self.words.iter().any(|found| found == word)
    }

    /// `of=FILE`: the text behind `of=`.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }
}

/// All fenced blocks, in order.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (at, line) in page.lines().enumerate() {
        if let Some(info) = line.strip_prefix("```") {
            if let Some(mut block) = open.take() {
                block.lines.end = at;
                blocks.push(block);
            } else {
                let mut words = info.split_whitespace().map(str::to_owned);
                let language = words.next().unwrap_or_default();
                let (words, text) = (words.collect(), String::new());
                open = Some(Block { language, words, text, lines: at + 1..at + 1 });
            }
        } else if let Some(block) = &mut open {
            block.text.push_str(line);
            block.text.push('\n');
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// Spans of code outside of blocks: what stands between single backticks, also over the end of a line.
pub(crate) fn spans(page: &str) -> Vec<String> {
    let mut prose = String::new();
    let mut in_block = false;
    for line in page.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    // A span does not go beyond its paragraph.
    let paragraphs = prose.split("\n\n");
    paragraphs.flat_map(|text| text.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " "))).collect()
}

/// The commands of `pipe` in a line for a shell, without `pipe` itself: those of `a && b`, `a | b` and `<(a)`.
pub(crate) fn commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let (mut word, mut quote, mut begun) = (String::new(), None, false);
    let mut characters = line.trim_start().trim_start_matches("$ ").chars().chain([' ']).peekable();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(mark), c) if c == mark => quote = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quote, begun) = (Some(c), true),
            (None, '#') if !begun => break,
            (None, c) if c.is_whitespace() || "&|;()<>".contains(c) => {
                if std::mem::take(&mut begun) {
                    commands.last_mut().unwrap().push(std::mem::take(&mut word));
                }
                if c == '>' {
                    // What follows is a file.
                    while characters.next_if(|&c| c == ' ' || c == '>').is_some() {}
                    while characters.next_if(|&c| !c.is_whitespace()).is_some() {}
                } else if !c.is_whitespace() {
                    commands.push(Vec::new());
                }
            }
            (None, c) => {
                begun = true;
                word.push(c);
            }
        }
    }
    let ours = commands.into_iter().filter(|words| words.first().is_some_and(|word| word == "pipe"));
    ours.map(|words| words[1..].to_vec()).filter(|words| !words.is_empty()).collect()
}

#[test]
fn commands_of_pipe_are_found_in_lines_for_a_shell() {
    assert_eq!(commands("$ pipe plan x.yaml --set 'a=b c' # what would run"), [["plan", "x.yaml", "--set", "a=b c"]]);
    assert_eq!(commands("cd x && pipe check"), [["check"]]);
    assert_eq!(commands("pipe schema > out.json"), [["schema"]]);
    assert_eq!(commands("source <(pipe completions bash)"), [["completions", "bash"]]);
    assert_eq!(commands("ls pipe"), Vec::<Vec<String>>::new());
}

#[test]
fn blocks_and_spans_are_told_apart() {
    let page = "A `pipe run\nx.yaml` b.\n\n```yaml fragment of=x.yaml\na: `1`\n```\n\nUse `c`.\n";
    let found = blocks(page);
    assert_eq!(found.len(), 1);
    assert_eq!((&*found[0].language, &*found[0].text, found[0].lines.clone()), ("yaml", "a: `1`\n", 4..5));
    assert!(found[0].says("fragment") && found[0].value("of") == Some("x.yaml") && !found[0].says("file"));
    assert_eq!(spans(page), ["pipe run x.yaml", "c"]);
}
