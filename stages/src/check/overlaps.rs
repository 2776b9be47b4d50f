//! Questions of the exam that models see before it: among the seeds, or inside the documents.

use pipe_engine::{diag::Severity, kind::Role};
use pipe_metrics::{Overlap, contained, repeated};

use super::{Finding, Found, Input, fill::like};

/// The share of a question's runs of five words above which a document is taken to hold it.
const INSIDE: f64 = 0.8;

/// Every overlap of an exam with seeds and documents.
pub(super) fn overlaps(inputs: &[Input]) -> Vec<Finding> {
    let mut found = Vec::new();
    for exam in inputs.iter().filter(|input| input.is(Role::Exam)) {
        let asked: Vec<String> = (0..exam.rows.len()).map(|row| exam.rows.question(row)).collect();
        let asked = || asked.iter().map(String::as_str);
        for seeds in inputs.iter().filter(|input| input.is(Role::Seeds)) {
            if std::ptr::eq(exam, seeds) {
                let message = format!("the rows of `{}` are both seeds and exam", exam.stage);
                let mut finding = exam.finding(Severity::Error, "exam::is_seeds", message, Vec::new());
                finding.help = Some("examine with questions that nothing was trained on".to_owned());
                found.push(finding);
                continue;
            }
            let others: Vec<String> = (0..seeds.rows.len()).map(|row| seeds.rows.question(row)).collect();
            let all = repeated(asked(), others.iter().map(String::as_str));
            let same = finding(exam, seeds, &all, true, Severity::Error, "exam::in_seeds", "among the seeds");
            let near = "nearly among the seeds";
            let near = finding(exam, seeds, &all, false, Severity::Warning, "exam::near_seeds", near);
            found.extend([same, near].into_iter().flatten());
        }
        for documents in inputs.iter().filter(|input| input.is(Role::Documents)) {
            let texts = (0..documents.rows.len()).map(|row| documents.rows.filled("text", row).unwrap_or_default());
            let all = contained(asked(), texts, INSIDE);
            let code = "exam::in_documents";
            let inside = "inside the documents";
            let inside = finding(exam, documents, &all, true, Severity::Warning, code, inside);
            let near = "nearly inside the documents";
            let near = finding(exam, documents, &all, false, Severity::Warning, "exam::near_documents", near);
            found.extend([inside, near].into_iter().flatten());
        }
    }
    found
}

fn finding(
    exam: &Input,
    other: &Input,
    all: &[Overlap],
    exact: bool,
    severity: Severity,
    code: &'static str,
    what: &str,
) -> Option<Finding> {
    let chosen = all.iter().filter(|overlap| overlap.exact == exact);
    let rows: Vec<Found> = chosen.map(|o| like(exam, o.text, other, o.other, o.share)).collect();
    if rows.is_empty() {
        return None;
    }
    let some = if rows.len() == 1 { "1 question".to_owned() } else { format!("{} questions", rows.len()) };
    let message = format!("{some} of the exam `{}` {what} `{}`", exam.stage, other.stage);
    let mut finding = exam.finding(severity, code, message, rows);
    finding.help = Some("take them out of one of the two: what was seen before the exam says nothing there".to_owned());
    Some(finding)
}
