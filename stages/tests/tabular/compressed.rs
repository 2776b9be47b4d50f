//! Compressed files, and files that were cut off: all rows, or an error, never some.

use std::io::Write;

use pipe_stages::tabular::ReadOptions;

use super::{Files, error_of, json};

#[test]
fn compressed_files_read_like_plain_ones() {
    let text = b"{\"a\": 1}\n{\"a\": 2}\n";
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(text).unwrap();
    let zst = zstd::encode_all(&text[..], 1).unwrap();
    let files = Files::new(&[("a.jsonl", text), ("b.jsonl.gz", &gz.finish().unwrap()), ("c.jsonl.zst", &zst)]);
    assert_eq!(files.read(&ReadOptions::default()).unwrap().table().num_rows(), 6);
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(text).unwrap();
    gz.finish().unwrap()
}

#[test]
fn compression_is_told_by_content_and_by_any_case() {
    let text = b"a,b\n1,x\n";
    let zst = zstd::encode_all(&text[..], 1).unwrap();
    for (name, bytes) in
        [("a.csv.GZ", gzip(text)), ("a.csv", gzip(text)), ("a.CSV.Zst", zst.clone()), ("a.csv.zstd", zst)]
    {
        let table = Files::new(&[(name, &bytes)]).read(&ReadOptions::default()).unwrap().table();
        assert_eq!((table.num_rows(), table.num_columns()), (1, 2), "{name}");
    }
    // Under a name that promises more than there is.
    for name in ["a.csv.gz", "a.csv.zst"] {
        assert_eq!(error_of(name, b"", json! {}), format!("failed to read {name}"));
        assert_eq!(error_of(name, text, json! {}), format!("failed to read {name}"));
    }
}

/// Rows of a file that was cut at every place: an error, unless the cut is where the file could have ended.
fn cut_everywhere(name: &str, whole: &[u8], may_end: impl Fn(usize) -> Option<usize>) {
    for end in 0..whole.len() {
        let read = Files::new(&[(name, &whole[..end])]).read(&ReadOptions::default());
        match (read, may_end(end)) {
            (Ok(kept), Some(rows)) => assert_eq!(kept.table().num_rows(), rows, "{name} of {end} bytes"),
            (Ok(kept), None) => panic!("{name} of {end} of {} bytes: {} rows", whole.len(), kept.table().num_rows()),
            (Err(_), _) => {}
        }
    }
}

#[test]
fn cut_files_are_not_taken_for_whole_ones() {
    let csv = (0..40).map(|i| format!("{i},\"text {i}, quoted\nover lines\"\n")).collect::<Vec<_>>().concat();
    let csv = format!("id,text\n{csv}");
    let jsonl = (0..40).map(|i| format!("{{\"id\": {i}, \"text\": [\"a\", \"b\"]}}\n")).collect::<Vec<_>>().concat();
    let json = format!("[{}]", jsonl.trim().replace('\n', ",\n"));
    for (name, text) in [("a.csv", &csv), ("a.jsonl", &jsonl), ("a.json", &json)] {
        cut_everywhere(&format!("{name}.gz"), &gzip(text.as_bytes()), |_| None);
        cut_everywhere(&format!("{name}.zst"), &zstd::encode_all(text.as_bytes(), 3).unwrap(), |_| None);
    }
    // Whole members one after the other are a file; half of one is none.
    let (first, second) = (gzip(b"a\n1\n"), gzip(b"2\n"));
    let both = [first.clone(), second].concat();
    cut_everywhere("a.csv.gz", &both, |end| (end == first.len()).then_some(1));
    cut_everywhere("a.json", json.as_bytes(), |_| None);
    // A last line needs no end; half an object is none.
    cut_everywhere("a.jsonl", jsonl.as_bytes(), |end| {
        let rows = jsonl[..end].matches('}').count();
        jsonl[..end].trim_end().ends_with('}').then_some(rows)
    });
    // Inside quotes a cut shows, and where cells are missing. Behind a cell's end it cannot: there the file might have
    // ended.
    cut_everywhere("a.csv", csv.as_bytes(), |end| {
        let before = &csv[..end];
        let rows = before.matches('"').count() / 2;
        match before.chars().last() {
            _ if !before.contains('\n') => Some(0),
            Some('"' | '\n') if before.matches('"').count() % 2 == 0 => Some(rows),
            Some(',') if before.matches('"').count() % 2 == 0 => Some(rows + 1),
            _ => None,
        }
    });
}
