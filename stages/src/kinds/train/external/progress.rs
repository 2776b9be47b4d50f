//! What the program prints: lines of JSON, one for each step, which become the training's log.
//!
//! They go to a file beside the checkpoints, written by the program itself: what it has said of a step before its
//! checkpoint is there for whoever goes on from that, whatever was killed.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use pipe_engine::{context::StageContext, kind::StageError};
use pipe_lm::train::{DataReport, EvalRecord, Observer, Progress, StepRecord, Stopping, TrainLog, check_falling};

use super::{line::Line, rows::Step, versions};
use crate::model::training::{Watch, training_error};

/// How soon a line is seen.
const LATENCY: Duration = Duration::from_millis(50);

/// What is to come.
pub(super) struct Expected<'a> {
    /// All steps.
    pub steps: &'a [Step],
    /// The versions that must be told before the first.
    pub versions: &'a BTreeMap<String, String>,
    /// The window of `stall_window`.
    pub stall_window: Option<u64>,
    /// The program's name, for messages.
    pub name: &'a str,
}

/// Listens to a program.
pub(super) struct Listener<'a> {
    cx: &'a StageContext,
    expected: Expected<'a>,
    path: PathBuf,
    heard: Mutex<Heard>,
    wrong: Mutex<Option<StageError>>,
    /// What it learned is no use: what it said of a step cannot be.
    spoilt: AtomicBool,
    over: AtomicBool,
}

/// What was said until now.
#[derive(Default)]
struct Heard {
    steps: Vec<StepRecord>,
    evals: Vec<EvalRecord>,
    versions: bool,
    /// How much of the file was read, and the beginning of a line.
    read: u64,
    rest: Vec<u8>,
}

impl<'a> Listener<'a> {
    /// Reads what earlier runs of the same stage were told, in `folder`; and the file that the next one prints to.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(super) fn open(
        cx: &'a StageContext,
        folder: &Path,
        expected: Expected<'a>,
    ) -> Result<(Self, File), StageError> {
        let path = folder.join("progress.jsonl");
        let failed = |e| StageError::other(format!("open {}", path.display()), e);
        let mut file = File::options().create(true).read(true).append(true).open(&path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let mut heard = Heard { read: bytes.len() as u64, ..Heard::default() };
        // A line that a kill has cut off must not run on into the next one.
        if bytes.last().is_some_and(|last| *last != b'\n') {
            file.write_all(b"\n").map_err(failed)?;
            heard.read += 1;
        }
        for line in String::from_utf8_lossy(&bytes).lines().filter_map(|line| Line::read(line).ok()?) {
            // What was wrong then ended that run; it may be right now.
            let _ = heard.take(&line, &expected);
        }
        // What is installed may have changed since.
        heard.versions = false;
        let (heard, wrong, spoilt, over) = (Mutex::new(heard), Mutex::default(), false.into(), false.into());
        Ok((Self { cx, expected, path, heard, wrong, spoilt, over }, file))
    }

    /// Listens while `work` runs the program.
    pub(super) fn during<R>(&self, work: impl FnOnce() -> R) -> R {
        thread::scope(|scope| {
            scope.spawn(|| self.listen());
            // However it ends.
            let _over = Raised(&self.over);
            work()
        })
    }

    /// Whether the program said something that is wrong.
    pub(super) fn is_wrong(&self) -> bool {
        self.wrong.lock().is_some()
    }

    fn listen(&self) {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) => return self.give_up(StageError::other(format!("open {}", self.path.display()), e)),
        };
        let mut watch = Watch { cx: self.cx };
        // What stands in the file when the program has ended is all that there is.
        while !self.is_wrong() {
            let last = self.over.load(Ordering::Acquire);
            if let Err(error) = self.read_on(&mut file, &mut watch, last) {
                return self.give_up(error);
            }
            if last {
                return;
            }
            thread::sleep(LATENCY);
        }
    }

    fn give_up(&self, error: StageError) {
        self.wrong.lock().get_or_insert(error);
    }

    fn read_on(&self, file: &mut File, watch: &mut Watch<'_>, last: bool) -> Result<(), StageError> {
        let failed = |e| StageError::other(format!("read {}", self.path.display()), e);
        let mut heard = self.heard.lock();
        let mut more = Vec::new();
        file.seek(SeekFrom::Start(heard.read)).map_err(failed)?;
        heard.read += file.read_to_end(&mut more).map_err(failed)? as u64;
        let mut text = std::mem::take(&mut heard.rest);
        text.append(&mut more);
        let whole = if last { text.len() } else { text.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1) };
        heard.rest = text.split_off(whole);
        for line in String::from_utf8_lossy(&text).lines() {
            let read = Line::read(line).map_err(|error| {
                self.spoilt.store(true, Ordering::Relaxed);
                StageError::user_help(
                    format!("a line of a step of {} cannot be read: {error}: {}", self.expected.name, line.trim_end()),
                    "`step` and `tokens` are whole numbers, losses, `grad_norm` and `learning_rate` numbers",
                )
            })?;
            let Some(read) = read else {
                // Whatever else it prints.
                writeln!(self.cx.log()?, "{line}").map_err(|e| StageError::other("write to the stage's log", e))?;
                continue;
            };
            if let Some(step) = read.resumed {
                self.cx.note(format!("went on from the checkpoint of step {step}"));
            }
            let before = heard.evals.len();
            let taken = heard.take(&read, &self.expected);
            self.spoilt.fetch_or(taken.is_err() && read.step.is_some(), Ordering::Relaxed);
            if let Some(record) = taken? {
                let _ = watch.on_step(Progress {
                    record: &record,
                    total_steps: self.expected.steps.len() as u64,
                    tokens_per_second: 0.0,
                });
            }
            if let Some(record) = heard.evals.get(before) {
                watch.on_eval(record);
            }
        }
        Ok(())
    }

    /// The whole log, when the program has ended. Where what it said of steps cannot be, or is not whole, its
    /// `checkpoints` are forgotten: who went on from them would end there again.
    ///
    /// # Errors
    /// What it said was wrong; it said nothing of some step.
    pub(super) fn finish(
        mut self,
        report: DataReport,
        stopping: Stopping,
        checkpoints: &Path,
    ) -> Result<TrainLog, StageError> {
        let told = self.wrong.get_mut().take().map_or_else(|| self.whole(report, stopping), Err);
        if told.is_err() && self.spoilt.load(Ordering::Relaxed) {
            let failed = |e| StageError::other(format!("remove {}", checkpoints.display()), e);
            std::fs::remove_dir_all(checkpoints).map_err(failed)?;
            std::fs::remove_file(&self.path).map_err(failed)?;
        }
        told
    }

    fn whole(&mut self, report: DataReport, stopping: Stopping) -> Result<TrainLog, StageError> {
        let Heard { steps, evals, .. } = std::mem::take(self.heard.get_mut());
        let name = self.expected.name;
        // Held-out rows may end it before the budget does.
        let enough = (1..=evals.len()).find(|n| stopping.is_enough(&evals[..*n]));
        let last = enough.map_or(self.expected.steps.len() as u64, |n| evals[n - 1].step);
        if steps.len() as u64 != last {
            self.spoilt.store(true, Ordering::Relaxed);
            return Err(StageError::user_help(
                format!("{name} ended well, but told of {} steps of {last}", steps.len()),
                "it prints a line of JSON for every optimizer step, from 1 on (`{\"step\": 1, \"loss\": 2.5, \
                 \"grad_norm\": 0.7}`), and ends where `patience` of config.json says so",
            ));
        }
        if evals.is_empty() && stopping != Stopping::default() {
            return Err(StageError::user_help(
                format!("held-out rows were to decide, and {name} told nothing of them"),
                "it prints `{\"step\": 50, \"eval_loss\": 2.5}` every `eval_steps` steps, or leave `keep` and \
                 `early_stopping` out",
            ));
        }
        Ok(TrainLog { data: report, steps, evals })
    }
}

/// Is set when it goes.
struct Raised<'a>(&'a AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Heard {
    /// Takes a line in; the record of its step, if it is about one.
    ///
    /// # Errors
    /// What it says cannot be.
    fn take(&mut self, line: &Line, expected: &Expected<'_>) -> Result<Option<StepRecord>, StageError> {
        let name = expected.name;
        if let Some(there) = &line.versions {
            self.versions = true;
            if let Some((package, wanted, found)) = versions::differing(expected.versions, there) {
                let found = found.map_or_else(|| "says nothing of it".to_owned(), |found| format!("has {found}"));
                return Err(StageError::user_help(
                    format!("{package} {wanted} is pinned, and {name} {found}"),
                    format!(
                        "install that version, or pin another under `engine: {{ versions: {{ {package}: ... }} }}`: \
                         results of different versions are different results"
                    ),
                ));
            }
        }
        if let Some(step) = line.resumed {
            self.steps.truncate(step as usize);
            self.evals.retain(|eval| eval.step <= step);
        }
        let Some(step) = line.step else { return Ok(None) };
        if !self.versions && !expected.versions.is_empty() {
            return Err(StageError::user_help(
                format!("{name} began to train without a word about versions, and some are pinned"),
                "before the first step it prints what it runs with: `{\"versions\": {\"torch\": \"2.9.1\"}}`",
            ));
        }
        let wrong = |what: String, help: &str| StageError::user_help(format!("step {step} of {name}: {what}"), help);
        let Some(of) = step.checked_sub(1).and_then(|i| expected.steps.get(i as usize)) else {
            let help = "steps are counted from 1 to the `steps` of config.json";
            return Err(wrong(format!("there are {} steps", expected.steps.len()), help));
        };
        if let Some(loss) = line.eval_loss {
            if !loss.is_finite() {
                return Err(wrong(format!("`eval_loss` is {loss}"), "lower `learning_rate`"));
            }
            self.evals.retain(|eval| eval.step < step);
            self.evals.push(EvalRecord { step, loss, score: None });
            if line.loss.is_none() {
                return Ok(None);
            }
        }
        let number = |key: &str, value: Option<f64>| {
            let help = "a line of a step has `loss` and `grad_norm`; where they are infinite or NaN, lower \
                        `learning_rate`";
            value.filter(|value| value.is_finite()).ok_or_else(|| wrong(format!("`{key}` is no finite number"), help))
        };
        let (loss, grad_norm) = (number("loss", line.loss)?, number("grad_norm", line.grad_norm)?);
        if let Some(tokens) = line.tokens.filter(|tokens| *tokens != of.ids) {
            let help = "a trainer reads rows as they are: it neither cuts nor drops them";
            return Err(wrong(format!("{tokens} tokens were read, and its rows have {}", of.ids), help));
        }
        if step as usize > self.steps.len() + 1 {
            let help = "a line for every step, in their order";
            return Err(wrong(format!("nothing was said of step {}", self.steps.len() + 1), help));
        }
        // Who goes on from a checkpoint takes back what was said behind it.
        self.steps.truncate(step as usize - 1);
        self.evals.retain(|eval| eval.step < step || (line.eval_loss.is_some() && eval.step == step));
        let record = StepRecord {
            step,
            epoch: of.epoch,
            loss,
            learning_rate: line.learning_rate.unwrap_or(of.learning_rate),
            grad_norm,
            tokens: of.tokens,
            target_tokens: of.targets,
        };
        self.steps.push(record);
        if let Some(window) = expected.stall_window.filter(|window| step.is_multiple_of(*window)) {
            let losses: Vec<f64> = self.steps.iter().map(|step| step.loss).collect();
            check_falling(&losses, window).map_err(training_error)?;
        }
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 4] = [Step { epoch: 1.0, learning_rate: 0.5, ids: 12, tokens: 10, targets: 5 }; 4];

    fn hear(versions: &[(&str, &str)], lines: &[&str]) -> Result<Heard, String> {
        let versions = versions.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect();
        let expected = Expected { steps: &STEPS, versions: &versions, stall_window: None, name: "t.py" };
        let mut heard = Heard::default();
        for line in lines {
            let Some(line) = Line::read(line).map_err(|e| e.to_string())? else { continue };
            heard.take(&line, &expected).map_err(|e| e.to_string())?;
        }
        Ok(heard)
    }

    const ONE: &str = r#"{"step": 1, "loss": 2.5, "grad_norm": 1.0}"#;
    const TWO: &str = r#"{"step": 2, "loss": 2.0, "grad_norm": 1.0, "tokens": 12, "lr": 0.25, "gpu": {"free": 1}}"#;
    const EVAL: &str = r#"{"step": 2, "eval_loss": 2.25}"#;

    #[test]
    fn lines_become_the_log() {
        let heard =
            hear(&[], &["loading", "{not json}", r#"{"own": 1}"#, r#"{"step": "warm up"}"#, ONE, TWO, EVAL]).unwrap();
        let steps: Vec<_> = heard.steps.iter().map(|s| (s.step, s.loss, s.learning_rate, s.tokens)).collect();
        assert_eq!(steps, [(1, 2.5, 0.5, 10), (2, 2.0, 0.25, 10)]);
        assert_eq!(heard.evals, [EvalRecord { step: 2, loss: 2.25, score: None }]);
    }

    #[test]
    fn who_goes_on_takes_back_what_came_behind_the_checkpoint() {
        let again = r#"{"step": 2, "loss": 1.0, "grad_norm": 1.0}"#;
        let three = r#"{"step": 3, "loss": 1.5, "grad_norm": 1.0, "eval_loss": 3.0}"#;
        let heard = hear(&[], &[ONE, TWO, EVAL, three, r#"{"resumed": 1}"#, again]).unwrap();
        assert_eq!(heard.steps.iter().map(|s| s.loss).collect::<Vec<_>>(), [2.5, 1.0]);
        assert_eq!(heard.evals, []);
        assert_eq!(hear(&[], &[ONE, TWO, three]).unwrap().evals, [EvalRecord { step: 3, loss: 3.0, score: None }]);
    }

    #[test]
    fn what_cannot_be_is_told() {
        let check = |versions: &[(&str, &str)], lines: &[&str], expect: &str| {
            let error = hear(versions, lines).err().unwrap_or_default();
            assert!(error.contains(expect), "{lines:?}: {error}");
        };
        check(&[], &[TWO], "step 2 of t.py: nothing was said of step 1");
        check(&[], &[r#"{"step": 0, "loss": 1, "grad_norm": 1}"#], "step 0 of t.py: there are 4 steps");
        check(&[], &[r#"{"step": 5, "loss": 1, "grad_norm": 1}"#], "step 5 of t.py: there are 4 steps");
        check(&[], &[r#"{"step": 1, "loss": NaN, "grad_norm": 1}"#], "`loss` is no finite number");
        check(&[], &[r#"{"step": 1, "loss": 1}"#], "`grad_norm` is no finite number");
        check(
            &[],
            &[r#"{"step": 1, "loss": 1, "grad_norm": 1, "tokens": 7}"#],
            "7 tokens were read, and its rows have 12",
        );
        check(&[], &[r#"{"step": 1, "loss": "2.5", "grad_norm": 1}"#], "invalid type: string \"2.5\", expected f64");
        check(&[], &[r#"{"step": 1.0, "loss": NaN}"#], "invalid type: floating point `1.0`, expected u64");
        check(&[("torch", "2.9.1")], &[ONE], "without a word about versions");
        let there = r#"{"versions": {"torch": "2.8.0"}}"#;
        check(&[("torch", "2.9.1")], &[there, ONE], "torch 2.9.1 is pinned, and t.py has 2.8.0");
        check(&[("peft", "0.18.0")], &[there], "peft 0.18.0 is pinned, and t.py says nothing of it");
        assert!(hear(&[("torch", "2.8.0")], &[there, ONE]).is_ok());
    }
}
