//! Every Arrow type that a Parquet file may hold: read, and printed as JSON, as CSV, and for people.

use std::{fs, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Date64Array, Decimal128Array, Decimal256Array,
        DictionaryArray, DurationMicrosecondArray, FixedSizeBinaryArray, FixedSizeListArray, Float16Array,
        Float32Array, Float64Array, Int64Array, IntervalDayTimeArray, IntervalMonthDayNanoArray, LargeListArray,
        LargeStringArray, ListArray, MapArray, NullArray, RecordBatch, StringArray, StringViewArray, StructArray,
        Time32SecondArray, Time64NanosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray,
        TimestampSecondArray, UInt64Array,
    },
    buffer::OffsetBuffer,
    csv,
    datatypes::{DataType, Field, Fields, Int32Type, IntervalDayTime, IntervalMonthDayNano, i256},
    json::LineDelimitedWriter,
};
use half::f16;
use pipe_stages::tabular::{Format, ReadOptions, Unprintable, not_finite, printable, read};

use super::Kept;

fn list_of(items: ArrayRef) -> ArrayRef {
    let field = Arc::new(Field::new_list_field(items.data_type().clone(), true));
    Arc::new(ListArray::new(field, OffsetBuffer::from_lengths([items.len()]), items, None))
}

fn struct_of(name: &str, column: ArrayRef) -> ArrayRef {
    let fields = Fields::from(vec![Field::new(name, column.data_type().clone(), true)]);
    Arc::new(StructArray::new(fields, vec![column], None))
}

fn map_of(keys: ArrayRef, values: ArrayRef) -> ArrayRef {
    let fields = Fields::from(vec![
        Field::new("key", keys.data_type().clone(), false),
        Field::new("value", values.data_type().clone(), true),
    ]);
    let entries = Arc::new(Field::new("entries", DataType::Struct(fields.clone()), false));
    let lengths = OffsetBuffer::from_lengths([keys.len()]);
    Arc::new(MapArray::new(entries, lengths, StructArray::new(fields, vec![keys, values], None), None, false))
}

/// One value of a type and how it is printed in JSON.
fn samples() -> Vec<(&'static str, ArrayRef, &'static str)> {
    // 2024-01-31 12:30:00 UTC.
    const SECONDS: i64 = 1_706_704_200;
    let moment = || TimestampMicrosecondArray::from(vec![SECONDS * 1_000_000 + 250_000]);
    let dictionary: DictionaryArray<Int32Type> = vec!["word"].into_iter().collect();
    vec![
        ("null", Arc::new(NullArray::new(1)), ""),
        ("bool", Arc::new(BooleanArray::from(vec![true])), "true"),
        ("u64", Arc::new(UInt64Array::from(vec![u64::MAX])), "18446744073709551615"),
        ("f16", Arc::new(Float16Array::from(vec![f16::from_f32(0.5)])), "0.5"),
        ("f32", Arc::new(Float32Array::from(vec![0.1])), "0.1"),
        ("f64", Arc::new(Float64Array::from(vec![0.1])), "0.1"),
        ("text", Arc::new(LargeStringArray::from(vec!["a"])), r#""a""#),
        ("view", Arc::new(StringViewArray::from(vec!["a view of a longer text"])), r#""a view of a longer text""#),
        ("dictionary", Arc::new(dictionary), r#""word""#),
        ("binary", Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..]])), r#""00ff""#),
        ("fixed", Arc::new(FixedSizeBinaryArray::try_from_iter([[1u8, 2]].into_iter()).unwrap()), r#""0102""#),
        ("decimal", Arc::new(Decimal128Array::from(vec![12345]).with_precision_and_scale(15, 2).unwrap()), "123.45"),
        (
            "long_decimal",
            Arc::new(Decimal128Array::from(vec![1_234_567_890_123_456_789]).with_precision_and_scale(38, 2).unwrap()),
            r#""12345678901234567.89""#,
        ),
        (
            "wide_decimal",
            Arc::new(Decimal256Array::from(vec![i256::from(-5)]).with_precision_and_scale(50, 1).unwrap()),
            r#""-0.5""#,
        ),
        ("date", Arc::new(Date32Array::from(vec![19753])), r#""2024-01-31""#),
        ("date64", Arc::new(Date64Array::from(vec![19753 * 86_400_000])), r#""2024-01-31T00:00:00""#),
        ("time", Arc::new(Time32SecondArray::from(vec![45000])), r#""12:30:00""#),
        ("time64", Arc::new(Time64NanosecondArray::from(vec![45_000_000_000_001])), r#""12:30:00.000000001""#),
        ("moment", Arc::new(TimestampSecondArray::from(vec![SECONDS])), r#""2024-01-31T12:30:00""#),
        ("utc", Arc::new(moment().with_timezone("UTC")), r#""2024-01-31T12:30:00.250Z""#),
        ("berlin", Arc::new(moment().with_timezone("Europe/Berlin")), r#""2024-01-31T12:30:00.250Z""#),
        ("offset", Arc::new(moment().with_timezone("+02:00")), r#""2024-01-31T12:30:00.250Z""#),
        (
            "nanos",
            Arc::new(TimestampNanosecondArray::from(vec![SECONDS * 1_000_000_000 + 1]).with_timezone("UTC")),
            r#""2024-01-31T12:30:00.000000001Z""#,
        ),
        ("duration", Arc::new(DurationMicrosecondArray::from(vec![90_000_000])), r#""PT90S""#),
        ("list", list_of(Arc::new(moment().with_timezone("UTC"))), r#"["2024-01-31T12:30:00.250Z"]"#),
        (
            "large_list",
            Arc::new(LargeListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None])])),
            "[1,null]",
        ),
        (
            "fixed_list",
            Arc::new(FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), Some(2)])], 2)),
            "[1,2]",
        ),
        ("object", struct_of("at", Arc::new(moment().with_timezone("UTC"))), r#"{"at":"2024-01-31T12:30:00.250Z"}"#),
        (
            "deep",
            list_of(struct_of("l", list_of(struct_of("d", Arc::new(Date32Array::from(vec![0])))))),
            r#"[{"l":[{"d":"1970-01-01"}]}]"#,
        ),
        (
            "map",
            map_of(Arc::new(StringArray::from(vec!["k"])), Arc::new(moment().with_timezone("UTC"))),
            r#"{"k":"2024-01-31T12:30:00.250Z"}"#,
        ),
        (
            "map_of_ints",
            map_of(Arc::new(Int64Array::from(vec![7])), Arc::new(BooleanArray::from(vec![true]))),
            r#"{"7":true}"#,
        ),
    ]
}

fn json(batch: &RecordBatch) -> String {
    let mut out = Vec::new();
    LineDelimitedWriter::new(&mut out).write(batch).unwrap();
    String::from_utf8(out).unwrap().trim().to_owned()
}

#[test]
fn every_type_is_read_from_parquet_and_printed() {
    let dir = tempfile::tempdir().unwrap();
    for (name, column, expect) in samples() {
        let batch = RecordBatch::try_from_iter_with_nullable([(name, column, true)]).unwrap();
        let path = dir.path().join("a.parquet");
        let mut writer =
            parquet::arrow::ArrowWriter::try_new(fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let mut kept = Kept::default();
        read(&[path], Format::Parquet, &ReadOptions::default(), &mut kept).unwrap_or_else(|e| panic!("{name}: {e}"));
        let shown = printable(&kept.table(), Unprintable::Refuse).unwrap_or_else(|e| panic!("{name}: {e}"));
        let expect = if expect.is_empty() { "{}".to_owned() } else { format!("{{\"{name}\":{expect}}}") };
        assert_eq!(json(&shown), expect);
        if !shown.column(0).data_type().is_nested() {
            let mut out = Vec::new();
            csv::Writer::new(&mut out).write(&shown).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}

#[test]
fn intervals_become_text() {
    let days: ArrayRef = Arc::new(IntervalDayTimeArray::from(vec![IntervalDayTime::new(3, 1500)]));
    let months: ArrayRef = Arc::new(IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(1, 2, 3)]));
    for (column, expect) in [(days, "3 days 1.500 secs"), (months, "1 mons 2 days 0.000000003 secs")] {
        let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
        let shown = printable(&batch, Unprintable::Refuse).unwrap();
        assert_eq!(json(&shown), format!("{{\"x\":\"{expect}\"}}"));
    }
}

#[test]
fn what_no_calendar_holds_is_refused_or_shown_as_stored() {
    let far: ArrayRef = Arc::new(TimestampSecondArray::from(vec![Some(i64::MAX / 2), None]).with_timezone("UTC"));
    for column in [far.clone(), struct_of("at", far)] {
        let batch = RecordBatch::try_from_iter([("when", column)]).unwrap();
        let error = printable(&batch, Unprintable::Refuse).unwrap_err().to_string();
        assert!(error.contains("column `when`"), "{error}");
        let shown = json(&printable(&batch, Unprintable::AsStored).unwrap());
        assert!(shown.contains(&(i64::MAX / 2).to_string()), "{shown}");
    }
}

#[test]
fn what_is_not_finite_is_found_at_every_depth() {
    let numbers = |x: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![Some(1.0), None, Some(x)])) };
    let find = |column: ArrayRef| {
        let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
        not_finite(&batch).map(|(name, row)| (name.to_owned(), row))
    };
    let at = |row| Some(("x".to_owned(), row));
    assert_eq!(find(numbers(2.0)), None);
    assert_eq!(find(numbers(f64::NAN)), at(2));
    assert_eq!(find(numbers(f64::NEG_INFINITY)), at(2));
    assert_eq!(find(Arc::new(Float32Array::from(vec![f32::INFINITY]))), at(0));
    assert_eq!(find(list_of(numbers(f64::NAN))), at(0));
    assert_eq!(find(struct_of("y", numbers(f64::NAN))), at(2));
    assert_eq!(find(map_of(Arc::new(StringArray::from(vec!["a", "b", "c"])), numbers(f64::NAN))), at(0));
    assert_eq!(find(Arc::new(StringArray::from(vec!["NaN"]))), None);
}
